from __future__ import annotations

import math

import numpy as np
import pytest

from campaigns.elements import SYMBOLS
from campaigns.search_space import SearchSpace
from generative.grammar import STOP, Grammar, Partial, fewest_orbits, reachable
from generative.symmetry import space_group


def _space(**words) -> SearchSpace:
    return SearchSpace.model_validate(words)


def _z(symbol: str) -> int:
    return SYMBOLS.index(symbol) + 1


def _letter(number: int, letter: str) -> int:
    return next(j for j, p in enumerate(space_group(number).positions) if p.letter == letter)


def test_reachable_counts_only_what_the_positions_hold():
    # F-43m: four fixed positions of 1 atom per primitive cell, then e with 4, f and g with 6, h with 12, i with 24
    sums = reachable(216, 0, 13)
    assert [n for n in range(14) if sums[4] >> n & 1] == [4, 7, 9, 10, 12, 13]
    assert [n for n in range(14) if reachable(216, 0b1111, 13)[2] >> n & 1] == [8, 10, 12]


def test_fewest_orbits_shares_the_fixed_positions_between_elements():
    assert fewest_orbits(221, 0, (1, 1, 3)) == 3  # perovskite: a, b and c
    assert fewest_orbits(221, 0, (1, 1, 1)) == math.inf  # only a and b hold one atom
    assert fewest_orbits(221, 0b11, (3, 6)) == 2  # c or d, then e or f


def test_a_fixed_position_is_open_once():
    a = _letter(225, "a")
    grammar = Grammar(_space(n_atoms=[1, 20]))
    start = Partial(225)
    assert grammar.position_mask(start)[a]
    assert not grammar.position_mask(start.with_orbit(a, _z("Na")))[a]


def test_a_position_with_a_free_coordinate_stays_open():
    e = _letter(216, "e")
    grammar = Grammar(_space(n_atoms=[1, 20]))
    assert grammar.position_mask(Partial(216).with_orbit(e, _z("Na")))[e]


def test_the_atom_limit_closes_large_positions():
    grammar = Grammar(_space(n_atoms=[1, 5]))
    mask = grammar.position_mask(Partial(225))
    sizes = space_group(225).multiplicities
    assert (mask[: len(sizes)] == (sizes <= 5)).all()


def test_stopping_needs_enough_atoms():
    grammar = Grammar(_space(n_atoms=[3, 6]))
    one = Partial(216).with_orbit(0, _z("Zn"))
    assert not grammar.position_mask(one)[STOP]
    assert grammar.position_mask(one.with_orbit(1, _z("S")).with_orbit(2, _z("S")))[STOP]


def test_a_required_element_comes_before_the_room_ends():
    grammar = Grammar(_space(elements={"require": ["O"]}, n_elements=[1, 2], n_atoms=[2, 2]))
    first = Partial(221).with_orbit(0, _z("Mg"))
    mask = grammar.element_mask(first, 1)
    assert np.flatnonzero(mask).tolist() == [_z("O")]
    assert not grammar.position_mask(first)[STOP]


def test_elements_outside_the_space_are_masked():
    grammar = Grammar(_space(elements={"include": ["Ti", "O", "N"], "exclude": ["N"]}))
    assert np.flatnonzero(grammar.element_mask(Partial(225), 0)).tolist() == [_z("O"), _z("Ti")]


def test_the_number_of_elements_is_capped():
    grammar = Grammar(_space(n_elements=[1, 1]))
    first = Partial(225).with_orbit(0, _z("Cu"))
    assert np.flatnonzero(grammar.element_mask(first, 1)).tolist() == [_z("Cu")]


def test_a_formula_masks_elements_and_amounts():
    grammar = Grammar(_space(formula="SrTiO3", n_atoms=[1, 5]))
    start = Partial(221)
    c = _letter(221, "c")
    assert np.flatnonzero(grammar.element_mask(start, c)).tolist() == [_z("O")]
    assert np.flatnonzero(grammar.element_mask(start, 0)).tolist() == [_z("Ti"), _z("Sr")]
    whole = start.with_orbit(c, _z("O")).with_orbit(0, _z("Sr"))
    assert not grammar.position_mask(whole)[STOP]
    assert grammar.position_mask(whole.with_orbit(1, _z("Ti")))[STOP]


def test_only_named_groups_are_open():
    mask = Grammar(_space(space_groups=[221, 225])).group_mask()
    assert np.flatnonzero(mask).tolist() == [221, 225]


@pytest.mark.parametrize(
    "words",
    [
        {"space_groups": [227], "n_atoms": [1, 1]},  # diamond's smallest position holds two atoms
        {"space_groups": [227], "n_atoms": [3, 3]},
        {"space_groups": [230], "formula": "NaCl", "n_atoms": [2, 2]},
        {"space_groups": [225], "n_elements": [4, 4], "n_atoms": [4, 4]},  # 1 + 1 + 2, then 6
    ],
)
def test_an_impossible_space_opens_no_group(words):
    assert not Grammar(_space(**words)).group_mask().any()


def test_without_a_space_every_group_and_element_is_open():
    grammar = Grammar(None)
    assert grammar.group_mask().sum() == 230
    assert grammar.element_mask(Partial(1), 0).sum() == len(SYMBOLS)
