"""Screening: each limit of the search space, alone."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from campaigns.records import FailureCode
from campaigns.search_space import SearchSpace
from optimizer.screening import charge_neutral, screen

NACL = Structure.from_spacegroup(225, Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize(
    ("space", "code", "words"),
    [
        ({"elements": {"exclude": ["halogen"]}}, FailureCode.OUTSIDE_SPACE, "holds Cl"),
        ({"elements": {"include": ["Na", "O"]}}, FailureCode.OUTSIDE_SPACE, "holds Cl"),
        ({"elements": {"require": ["O"]}}, FailureCode.OUTSIDE_SPACE, "lacks O"),
        ({"n_elements": [3, 4]}, FailureCode.OUTSIDE_SPACE, "has 2 elements"),
        ({"n_atoms": [3, 20]}, FailureCode.OUTSIDE_SPACE, "has 2 atoms in its primitive cell"),
        ({"space_groups": [221, 216]}, FailureCode.OUTSIDE_SPACE, "has space group 225"),
        ({"formula": "KCl"}, FailureCode.OUTSIDE_SPACE, "is NaCl, not KCl"),
        ({"min_distance_ang": 3.0}, FailureCode.TOO_CLOSE, "2.80 angstrom apart, below 3"),
        ({"min_pair_distances_ang": {"Cl-Na": 2.9}}, FailureCode.TOO_CLOSE, "2.80 angstrom apart, below 2.9"),
        ({"min_pair_distances_ang": {"Na-Na": 4.0}}, FailureCode.TOO_CLOSE, "Na and Na are 3.96"),
    ],
)
def test_a_crystal_outside_is_refused_with_the_reason(space, code, words):
    failure = screen(NACL, SearchSpace(**space))
    assert failure is not None
    assert failure.code == code
    assert words in failure.message


@pytest.mark.parametrize(
    "space",
    [
        {},
        {"elements": {"include": ["Na", "Cl"], "require": ["Cl"]}},
        {"n_elements": 2, "n_atoms": 2, "space_groups": [225], "formula": "Na2Cl2"},
        {"min_distance_ang": 2.7, "min_pair_distances_ang": {"Na-Na": 3.9}},
        {"charge_neutral": True},
    ],
)
def test_a_crystal_inside_passes_whatever_cell_it_comes_in(space):
    assert screen(NACL, SearchSpace(**space)) is None  # the conventional cell of 8 atoms
    assert screen(NACL.get_primitive_structure(), SearchSpace(**space)) is None


def test_an_atom_may_not_come_close_to_its_own_image():
    thin = Structure(Lattice.tetragonal(0.9, 5.0), ["Cu"], [[0, 0, 0]])
    failure = screen(thin, SearchSpace())
    assert failure is not None
    assert failure.code == FailureCode.TOO_CLOSE


def test_formulas_that_cannot_be_balanced_are_refused_only_where_asked():
    alloy = Structure.from_spacegroup(221, Lattice.cubic(3), ["Fe", "Al"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert screen(alloy, SearchSpace()) is None
    failure = screen(alloy, SearchSpace(charge_neutral=True))
    assert failure is not None
    assert failure.code == FailureCode.NOT_NEUTRAL


@pytest.mark.parametrize(
    ("formula", "neutral"),
    [("NaCl", True), ("LiFePO4", True), ("TiO2", True), ("Na2Cl", False), ("FeAl", False)],
)
def test_charge_neutrality_is_smacts_without_the_pass_for_alloys(formula, neutral):
    assert charge_neutral(formula) is neutral
