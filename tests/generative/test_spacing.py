from __future__ import annotations

import numpy as np
import torch

from generative.canonical import WyckoffCode
from generative.decoding import decode_codes
from generative.evaluation import shortest_distance
from generative.grammar import Grammar
from generative.representations.wyckoff import crystal_of
from generative.sites import primitive_cells
from generative.spacing import keep_apart

BINS = 64


def _scores(*best: float) -> np.ndarray:
    """Log probabilities that fall off with the distance to the best coordinate of every axis, `[k, 3, BINS]`."""
    centres = np.arange(BINS) / BINS
    weights = np.array([50 * np.cos(2 * np.pi * (centres - b)) for b in best])
    weights -= np.log(np.exp(weights).sum(axis=1, keepdims=True))
    return np.repeat(weights[:, None], 3, axis=1)


def _spaced(code: WyckoffCode, scores: np.ndarray) -> WyckoffCode:
    numbers = np.array([code.space_group])
    coords = keep_apart(
        numbers,
        np.array([len(code.positions)]),
        code.positions[None],
        code.elements[None],
        code.coords[None],
        primitive_cells(numbers, code.lattice[None]),
        scores[None],
    )[0]
    return WyckoffCode(code.space_group, code.positions, code.elements, coords, code.lattice)


def _p1(*at: float) -> WyckoffCode:
    k = len(at)
    return WyckoffCode(
        1, np.zeros(k, int), np.full(k, 14), np.repeat(np.array(at)[:, None], 3, 1), np.array([6.0] * 3 + [90.0] * 3)
    )


def test_two_atoms_on_one_spot_are_moved_apart_and_stay_likely():
    code = _p1(0.0, 0.3, 0.31)
    spaced = _spaced(code, _scores(0.0, 0.3, 0.31))
    assert shortest_distance(crystal_of(spaced)) > 1.3
    assert np.array_equal(spaced.coords[:2], code.coords[:2])
    gap = spaced.coords[2] - code.coords[2]
    assert np.abs(gap - np.rint(gap)).max() < 0.35


def test_a_crystal_with_room_is_left_alone():
    code = _p1(0.0, 0.4, 0.7)
    assert np.array_equal(_spaced(code, _scores(0.1, 0.2, 0.3)).coords, code.coords)


def test_an_orbit_too_near_to_its_own_image_is_moved():
    # Pm, the general position across the mirror plane at y = 0
    code = WyckoffCode(
        6, np.array([2]), np.array([8]), np.array([[0.2, 0.03, 0.4]]), np.array([4.0, 5.0, 4.0, 90.0, 95.0, 90.0])
    )
    spaced = _spaced(code, _scores(0.03))
    assert shortest_distance(crystal_of(code)) < 0.5
    assert shortest_distance(crystal_of(spaced)) > 0.7


def test_what_cannot_move_is_left(network):
    code = WyckoffCode(
        221, np.array([0, 1]), np.array([55, 55]), np.zeros((2, 3)), np.array([1.0, 1.0, 1.0, 90.0, 90.0, 90.0])
    )
    assert np.array_equal(_spaced(code, _scores(0.0, 0.0)).coords, code.coords)


def test_an_open_cell_is_left():
    code = WyckoffCode(
        1, np.zeros(1, int), np.array([14]), np.zeros((1, 3)), np.array([3.0, 3.0, 3.0, 30.0, 150.0, 30.0])
    )
    assert np.array_equal(_spaced(code, _scores(0.0)).coords, code.coords)


def test_decoded_crystals_keep_their_atoms_apart_where_positions_are_free(network):
    for code in decode_codes(network, 2 * torch.randn(40, 6), Grammar(None)):
        assert isinstance(code, WyckoffCode)
        if len(code.positions) == 1 and code.coords.any():
            assert shortest_distance(crystal_of(code)) > 0.3
