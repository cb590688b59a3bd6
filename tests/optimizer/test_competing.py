"""Competing phases: what is made follows from the elements alone, and is made once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT
from pymatgen.core import Composition

from optimizer import competing
from optimizer.calculators import CalculatorParams, Potential, potential
from optimizer.competing import MadeSet, cache_folder, competing_phases, plan, require_cache
from optimizer.hull import NEAR_EV_ATOM, competing_corners, judged_distance
from optimizer.references import ReferenceTable
from optimizer.stable_phases import StablePhases

COHESIVE = {"Cu": 0.0, "Au": 0.0, "Ag": 0.0}  # EMT counts from the elements


@pytest.fixture
def emt() -> Potential:
    return potential(CalculatorParams(calculator="ase.calculators.emt:EMT"), "cpu")


@pytest.fixture
def table(emt) -> ReferenceTable:
    """Elements only: everything else is missing."""
    names = tuple(COHESIVE)
    codes = tuple(f"225:{name}:4a-{name}" for name in names)
    return ReferenceTable(names, names, np.full(3, 225), codes, np.zeros(3), "elements", emt.version)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(competing.CACHE_VARIABLE, str(tmp_path / "cache"))
    competing._made.cache_clear()
    yield tmp_path / "cache"
    competing._made.cache_clear()


def files_in(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cache.rglob("*.json")}


def without_seconds(sets) -> list[object]:
    return [(each.name, each.phases, each.single_points, each.relaxations, each.failed) for each in sets]


def test_known_formulas_that_the_table_lacks_are_made_and_fill_the_hull(table, emt, cache):
    (made,) = competing_phases(["Au", "Cu"], 2, emt, table, 2)
    assert made.name == "Au-Cu"
    assert {phase.formula for phase in made.phases} <= {group[0].formula for group in plan(("Au", "Cu"), table, 2)}
    assert all(group[0].formula_known for group in plan(("Au", "Cu"), table, 2))
    assert 1 <= len(made.phases) <= made.relaxations <= 4
    bare = table.hull_distance(Composition("CuAu"), 0.1)
    full = table.hull_distance(Composition("CuAu"), 0.1, competing_corners([made], "", 0.0))
    assert bare.sparse
    assert (full.sparse, full.n_competing) == (False, len(made.phases))
    assert full.value_ev_atom >= bare.value_ev_atom


def test_what_is_made_does_not_depend_on_what_was_made_before(table, emt, tmp_path, monkeypatch):
    orders = ([("Au", "Cu"), ("Ag", "Cu")], [("Ag", "Cu"), ("Au", "Cu")])
    found = []
    for number, order in enumerate(orders):
        monkeypatch.setenv(competing.CACHE_VARIABLE, str(tmp_path / str(number)))
        competing._made.cache_clear()
        sets = {pair: competing_phases(pair, 2, emt, table, 1) for pair in order}
        found.append([without_seconds(sets[pair]) for pair in orders[0]])
    assert found[0] == found[1]
    competing._made.cache_clear()


def test_a_set_is_made_once_and_the_first_file_counts(table, emt, cache, monkeypatch):
    first = competing_phases(["Cu", "Ag"], 2, emt, table, 1)
    (path,) = cache.rglob("*.json")
    before = path.read_bytes()
    competing._publish(path, first[0])  # a second process, a moment later
    assert path.read_bytes() == before
    assert not list(cache.rglob("*.partial"))
    competing._made.cache_clear()
    monkeypatch.setattr(EMT, "calculate", None)  # asking it now would fail
    assert competing_phases(["Ag", "Cu"], 2, emt, table, 1) == first
    assert json.loads(before)["phases"]


def test_a_file_system_without_hard_links_will_do(tmp_path, monkeypatch):
    def refuse(source: object, target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(competing.os, "link", refuse)
    path, made = tmp_path / "made" / "Ag-Cu.json", MadeSet("Ag-Cu", (), 1, 0, 0, 0.5)
    competing._publish(path, made)
    competing._publish(path, MadeSet("Ag-Cu", (), 2, 0, 0, 0.5))  # another process, a moment later
    assert competing._read(path) == made
    assert [each.name for each in path.parent.iterdir()] == ["Ag-Cu.json"]


def test_more_formulas_and_another_potential_are_other_files(table, emt, cache):
    other = potential(CalculatorParams(calculator=emt.name, calculator_args={"asap_cutoff": True}), "cpu")
    competing_phases(["Cu", "Au"], 2, emt, table, 1)
    competing_phases(["Cu", "Au"], 2, emt, table, 2)
    competing_phases(["Cu", "Au"], 2, other, table, 1)
    assert len(files_in(cache)) == 3


def test_a_triple_of_which_nothing_is_known_is_left_alone(table):
    assert plan(("Hf", "Na", "Y"), table, 4) == ()
    assert plan(("Hf", "Na"), table, 4) != ()
    assert plan(("Hf", "Na"), table, 0) == ()


def test_with_the_list_of_stable_phases_known_formulas_are_not_made(table):
    """It has judged them already; a pair without any compound is still tried."""
    listed = replace(table, listed=StablePhases(("AuCu3",), np.array([-0.1])))
    assert {group[0].formula_known for group in plan(("Au", "Cu"), table, 4)} == {True}
    assert plan(("Au", "Cu"), listed, 4) == ()
    assert plan(("Ba", "Ti"), listed, 4) != ()


def test_phases_are_made_only_for_crystals_near_the_hull(table, emt, cache):
    def judged(energy: float, mark: str = ""):
        found = Composition("CuAu")
        return judged_distance(found, energy, mark, table=table, potential=emt, formulas=1)

    far = judged(NEAR_EV_ATOM + 0.01)
    assert (far.made, far.distance.value_ev_atom) == ((), pytest.approx(NEAR_EV_ATOM + 0.01))
    assert not files_in(cache)
    near = judged(0.0)
    assert [made.name for made in near.made] == ["CuAu", "Au-Cu"]
    assert {phase.formula for phase in near.made[0].phases} == {"CuAu"}
    phases = [phase for made in near.made for phase in made.phases]
    own = phases[0].fingerprint
    others = tuple(p.phase for p in phases if p.fingerprint != own)
    assert competing_corners(near.made, own, phases[0].energy_ev_atom + 0.001) == others
    higher = competing_corners(near.made, own, phases[0].energy_ev_atom + 0.1)  # another minimum of that type
    assert phases[0].phase in higher


def test_a_cache_that_cannot_be_written_is_refused_with_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(competing.CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    with pytest.raises(ValueError, match=r"cannot be written.*LATENTORE_CACHE"):
        require_cache()
    monkeypatch.delenv(competing.CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "latentore"
