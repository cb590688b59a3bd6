from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from prototypes import PROTOTYPES
from pymatgen.core import Lattice, Structure

from campaigns.records import FailureCode
from generative.canonical import WyckoffCode
from generative.datasets import stack
from generative.evaluation import (
    code_agreement,
    held_out_crystals,
    prior_samples,
    reconstruction,
    shortest_distance,
)
from generative.protocols import DecodeFailure, EncodeFailure
from generative.representations.wyckoff import WyckoffRepresentation

CRYSTALS = [PROTOTYPES[name] for name in ("rock salt", "rutile", "perovskite", "baddeleyite, monoclinic")]
FAILURE = DecodeFailure(FailureCode.DECODE_DEAD_END, "no way on")


class Remembering:
    """A generator whose latent is the number of a crystal it knows."""

    latent_dim = 1
    version = "remembering"

    def __init__(self, answers: list[Structure | DecodeFailure]) -> None:
        self.answers = answers

    def encode(self, xs):
        bad = EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, "disordered")
        return [torch.tensor([float(i)]) if x.is_ordered else bad for i, x in enumerate(xs)]

    def decode(self, z, *, within, seed):
        return [self.answers[int(i) % len(self.answers)] for i in z[:, 0].abs()]


def test_a_perfect_generator_reconstructs_everything():
    found = reconstruction(Remembering(CRYSTALS), CRYSTALS)
    assert (found.n, found.match, found.exact) == (4, 1.0, 1.0)
    assert found.rmsd == pytest.approx(0, abs=1e-6)
    assert found.volume_error == pytest.approx(0, abs=1e-9)


def test_volume_errors_are_reported_beside_the_match_rate():
    swollen = [Structure(Lattice(x.lattice.matrix * 1.1 ** (1 / 3)), x.species, x.frac_coords) for x in CRYSTALS]
    found = reconstruction(Remembering(swollen), CRYSTALS)
    assert found.match == 1.0  # StructureMatcher ignores volume
    assert found.volume_error == pytest.approx(0.1)


def test_failures_count_as_misses():
    disordered = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5] * 3])
    found = reconstruction(Remembering([CRYSTALS[0], FAILURE]), [CRYSTALS[0], CRYSTALS[1], disordered, disordered])
    assert (found.n, found.match, found.exact) == (4, 0.25, 0.25)


def test_nothing_matched_has_no_error_figures():
    found = reconstruction(Remembering([FAILURE]), CRYSTALS)
    assert (found.match, found.rmsd, found.volume_error) == (0.0, None, None)


def test_code_agreement_counts_part_by_part():
    codes = WyckoffRepresentation().featurize(CRYSTALS)
    rutile = codes[1]
    other_elements = dataclasses.replace(rutile, elements=rutile.elements[::-1])
    moved = dataclasses.replace(rutile, coords=rutile.coords + (rutile.coords > 0) * 0.1)
    near = dataclasses.replace(rutile, coords=rutile.coords + (rutile.coords > 0) * 1.01)
    answers: list[WyckoffCode | DecodeFailure] = [rutile, near, moved, other_elements, codes[0], FAILURE]
    found = code_agreement([rutile] * 6, answers)
    assert found.space_group == pytest.approx(4 / 6)
    assert found.positions == pytest.approx(4 / 6)
    assert found.elements == pytest.approx(3 / 6)
    assert found.all_discrete == pytest.approx(3 / 6)
    assert found.with_coordinates == pytest.approx(2 / 6)


def test_prior_samples_count_what_was_decoded_valid_and_different():
    squeezed = Structure(Lattice.cubic(0.9), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
    found = prior_samples(Remembering([CRYSTALS[0]]), 10, seed=0)
    assert (found.n, found.decoded, found.valid, found.unique) == (10, 1.0, 1.0, 0.1)
    assert prior_samples(Remembering([squeezed]), 10, seed=0).valid == 0
    assert prior_samples(Remembering([FAILURE]), 10, seed=0).decoded == 0


def test_shortest_distance_sees_periodic_images():
    assert shortest_distance(Structure(Lattice.orthorhombic(9, 2.5, 9), ["Cu"], [[0, 0, 0]])) == pytest.approx(2.5)
    assert shortest_distance(PROTOTYPES["rock salt"]) == pytest.approx(2.82)


def test_held_out_crystals_keep_their_index():
    codes = WyckoffRepresentation().featurize(CRYSTALS[:2])
    flat = WyckoffCode(1, np.array([0]), np.array([3]), np.zeros((1, 3)), np.array([4, 4, 4, 150, 30, 30.0]))
    found = held_out_crystals(stack([codes[0], flat, codes[1]]))
    assert list(found) == [0, 2]
