"""A user's own crystals."""

from __future__ import annotations

import pytest
from pymatgen.core import Structure

from campaigns.search_space import SearchSpace
from optimizer.protocols import StartContext
from optimizer.starts.crystals import Params, build


@pytest.fixture
def folder(tmp_path):
    for length in range(30, 36):
        cell = [[length / 10, 0, 0], [0, length / 10, 0], [0, 0, length / 10]]
        Structure(cell, ["W"], [[0, 0, 0]]).to(filename=str(tmp_path / f"{length}.cif"))
    return tmp_path


def sources(folder, seed, n=None):
    start = build(Params(path=".", n=n), StartContext(str(folder), ()))
    return [each.source for each in start.crystals(None, SearchSpace(), seed=seed)]


def test_all_come_in_the_order_of_their_names(folder):
    assert sources(folder, seed=1) == sources(folder, seed=2) == [f"{n}.cif" for n in range(30, 36)]


def test_some_come_in_an_order_the_seed_decides(folder):
    assert sources(folder, seed=1, n=2) == sources(folder, seed=1, n=2) != sources(folder, seed=2, n=2)
    assert sorted(sources(folder, seed=1, n=2)) == sources(folder, seed=1)  # refused ones are replaced by the next


def test_a_folder_without_crystals_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no \.cif"):
        build(Params(path="."), StartContext(str(tmp_path), ()))
