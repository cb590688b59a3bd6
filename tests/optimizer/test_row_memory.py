"""What follows from a crystal alone is computed once."""

from __future__ import annotations

import torch
from pymatgen.core import Lattice, Structure

from campaigns.crystals import crystal_to_json, crystal_to_read
from optimizer import row_memory
from optimizer.row_memory import remembered, rows_of


def test_only_what_is_new_is_computed_and_rows_keep_their_order():
    crystals = [Structure(Lattice.cubic(a), ["Cu"], [[0, 0, 0]]) for a in (3.1, 3.2, 3.3)]
    asked: list[int] = []

    def edges(some):
        asked.append(len(some))
        return torch.tensor([[x.lattice.a, 1.0] for x in some], dtype=torch.float64).reshape(len(some), 2)

    assert rows_of(crystals[:2], "edges", edges)[:, 0].tolist() == [3.1, 3.2]
    again = [crystals[2], crystals[1].copy(), crystals[2], crystals[0]]
    assert rows_of(again, "edges", edges)[:, 0].tolist() == [3.3, 3.2, 3.3, 3.1]
    assert rows_of([], "edges", edges).shape == (0, 2)
    assert asked == [2, 1, 0]
    strained = crystals[0].copy()
    strained.scale_lattice(30.0)
    assert rows_of([strained], "edges", edges)[0, 0] != 3.1
    assert rows_of(crystals[:1], "other", edges).shape == (1, 2)
    assert asked == [2, 1, 0, 1, 1]


def test_what_was_given_may_be_changed_without_harm():
    crystal = Structure(Lattice.cubic(4.0), ["Ag"], [[0, 0, 0]])
    first = rows_of([crystal], "constant", lambda some: torch.ones(len(some), 1, dtype=torch.float64))
    first += 1
    assert rows_of([crystal], "constant", lambda some: torch.empty(0, 1)).tolist() == [[1.0]]


def test_anything_that_follows_from_a_crystal_is_remembered():
    asked: list[int] = []

    def formulas(crystals):
        asked.append(len(crystals))
        return [crystal.composition.reduced_formula for crystal in crystals]

    first, second = (Structure(Lattice.cubic(3.0), [symbol], [[0, 0, 0]]) for symbol in ("Po", "Ra"))
    assert remembered([first, first], "test formula", formulas) == ["Po", "Po"]
    assert remembered([second, first], "test formula", formulas) == ["Ra", "Po"]
    assert asked == [1, 1]


def test_many_are_asked_for_in_parts_and_what_is_parsed_goes_again(monkeypatch):
    monkeypatch.setattr(row_memory, "AT_ONCE", 2)
    lines = [crystal_to_json(Structure(Lattice.cubic(a), ["Fr"], [[0, 0, 0]])) for a in (4.0, 4.1, 4.2, 4.3, 4.4)]
    crystals, asked = [crystal_to_read(line) for line in lines], list[int]()

    def edges(some):
        asked.append(len(some))
        return [crystal.lattice.a for crystal in some]

    assert remembered(crystals, "test edge", edges) == [4.0, 4.1, 4.2, 4.3, 4.4]
    assert asked == [2, 2, 1]
    assert not any(type(crystal) is Structure for crystal in crystals)
