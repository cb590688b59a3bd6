"""Periodic distances, images included."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.distances import lone_atoms, pairs_within, shortest_distance

CUBE = 3.0 * np.eye(3)
ORIGIN = np.zeros((1, 3))


def test_an_atom_sees_its_own_images():
    assert shortest_distance(CUBE, ORIGIN, 4.0) == pytest.approx(3.0)
    assert len(pairs_within(CUBE, ORIGIN, 3.1)[0]) == 6


def test_a_very_skewed_cell_hides_no_image():
    skewed = np.array([[3.0, 0, 0], [0, 3.0, 0], [8.9, 8.9, 1.0]])  # the last is (-0.1, -0.1, 1) in disguise
    assert shortest_distance(skewed, ORIGIN, 4.0) == pytest.approx(np.sqrt(1.02))


def test_pairs_across_the_boundary_and_outside_the_cell_count():
    positions = np.array([[0.1, 0, 0], [2.9 + 6.0, 0, 0]])
    assert shortest_distance(CUBE, positions, 1.0) == pytest.approx(0.2)


def test_two_atoms_on_one_spot_have_distance_zero():
    assert shortest_distance(CUBE, np.zeros((2, 3)), 1.0) == 0


def test_nothing_within_the_radius_is_infinity_and_a_lone_atom():
    wide = 20.0 * np.eye(3)
    positions = np.array([[0, 0, 0], [1.0, 0, 0], [10.0, 10, 10]])
    assert shortest_distance(wide, positions, 0.5) == float("inf")
    assert lone_atoms(wide, positions, 6.0) == [2]
