"""What every oracle kind must do. A new kind inherits these tests by existing."""

from __future__ import annotations

import importlib
import json
import math
import multiprocessing
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from rebuilt_oracles import Answer, answer, find_kinds_in, version_and_answer

from campaigns.kinds import GROUPS, build_kind
from campaigns.records import PROPERTY_NAME, Failed, FailureCode, Measured
from campaigns.spec import KindSpec
from optimizer.protocols import Oracle, OracleContext

ROLE = "oracle"
EMT = {"calculator": "ase.calculators.emt:EMT"}
NEEDED = {
    "lookup": {"path": "table.csv", "match": "formula", "key": "formula", "properties": {"gap_ev": "eV"}},
    "predictor": {
        "path": "labelled.csv",
        "property": "gap_ev",
        "unit": "eV",
        "formula_column": "formula",
        "confidence": 0.5,
    },
    "python": {"function": "model.py:predict", "properties": {"size": "atoms"}},
    "relax": EMT,
    "bulk_modulus": EMT,
    "elastic": EMT,
    "dynamical_stability": EMT,
    "energy_above_hull": {"competing_phases": 0},
    "external": {"properties": {"gap_ev": "eV"}},
}
"""Parameters of the kinds that cannot do without, or that would be slow."""

COPPER = Structure(Lattice.from_parameters(2.55, 2.55, 2.55, 60, 60, 60), ["Cu"], [[0, 0, 0]])
STRETCHED = Structure(Lattice.from_parameters(2.60, 2.60, 2.60, 60, 60, 60), ["Cu"], [[0, 0, 0]])
COPPER_GOLD = Structure([[2.8, 0, 0], [0, 2.8, 0], [0, 0, 3.7]], ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
CUBE = Lattice.cubic(4)
IMPOSSIBLE = {
    "overlapping": Structure(CUBE, ["Cu", "Lr"], [[0, 0, 0], [0.01, 0, 0]]),
    "disordered": Structure(CUBE, [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]]),
    "dummy": Structure(CUBE, ["X"], [[0, 0, 0]]),
    "empty": Structure(CUBE, [], []),
    "no number": Structure(CUBE, ["Cu", "Cu"], [[0, 0, 0], [np.nan, 0.5, 0.5]]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("oracles")
    (place / "table.csv").write_text("formula,gap_ev\nCu,0.0\n")
    formulas = [f"{metal}{n}{other}" for metal in ("Cu", "Au", "Na", "Mg") for n in (1, 2, 3) for other in ("O", "Cl")]
    rows = [f"{formula},{index / 8}" for index, formula in enumerate(formulas)]
    (place / "labelled.csv").write_text("\n".join(["formula,gap_ev", *rows, ""]))
    (place / "model.py").write_text("def predict(crystal):\n    return len(crystal)\n")
    return place


def _build(kind: str, folder: Path, device: str = "cpu") -> Oracle:
    spec = KindSpec(kind=kind, **NEEDED.get(kind, {}))
    return build_kind(ROLE, spec, OracleContext(device, str(folder)), "oracles.0")


def _check(outcome: object, oracle: Oracle) -> None:
    assert isinstance(outcome, Measured | Failed)
    assert outcome.seconds > 0
    if isinstance(outcome, Failed):
        assert outcome.code in FailureCode
        assert outcome.message
        return
    assert set(outcome.values) == {prop.name for prop in oracle.properties}
    assert all(isinstance(value, float) and math.isfinite(value) for value in outcome.values.values())
    json.dumps(dict(outcome.details))
    assert all(isinstance(flag, str) and flag for flag in outcome.flags)


def _same(left: Answer, right: Answer) -> bool:
    return left[0] == right[0] and left[1] == pytest.approx(right[1], rel=1e-6, abs=1e-5)


def test_every_crystal_gets_one_outcome_with_the_declared_properties(kind, device, folder):
    oracle = _build(kind, folder, device)
    outcomes = list(oracle.evaluate([COPPER.copy(), COPPER.copy()], seed=0))
    assert sorted(index for index, _ in outcomes) == [0, 1]
    for _, outcome in outcomes:
        _check(outcome, oracle)
        if getattr(oracle, "external", False):  # told, never asked here
            assert isinstance(outcome, Failed)
            continue
        assert isinstance(outcome, Measured), outcome
        assert outcome.crystal.composition.reduced_formula == "Cu"
        assert outcome.crystal.is_ordered
        assert not outcome.crystal.site_properties


def test_an_outcome_belongs_to_its_crystal_whatever_stands_beside_it(kind, device, folder):
    oracle = _build(kind, folder, device)
    crystals = [STRETCHED, IMPOSSIBLE["overlapping"], COPPER, COPPER_GOLD]
    outcomes = list(oracle.evaluate(crystals, seed=3))
    assert sorted(index for index, _ in outcomes) == [0, 1, 2, 3]
    for index, outcome in outcomes:
        _check(outcome, oracle)
        ((_, alone),) = oracle.evaluate([crystals[index]], seed=3)
        assert _same(answer(outcome), answer(alone))


def test_the_same_seed_gives_the_same_values(kind, device, folder, disturb):
    answers = []
    for number in (1, 2):
        disturb(number)
        ((_, outcome),) = _build(kind, folder, device).evaluate([STRETCHED.copy()], seed=7)
        answers.append(answer(outcome))
    assert _same(*answers)


@pytest.mark.parametrize("impossible", IMPOSSIBLE)
def test_an_impossible_crystal_is_an_outcome_and_no_exception(kind, folder, impossible):
    oracle = _build(kind, folder)
    ((index, outcome),) = oracle.evaluate([IMPOSSIBLE[impossible].copy()], seed=0)
    assert index == 0
    _check(outcome, oracle)


def test_nothing_in_nothing_out(kind, folder):
    assert list(_build(kind, folder).evaluate([], seed=0)) == []


def test_the_crystal_that_was_asked_about_is_left_alone(kind, folder):
    given = STRETCHED.copy()
    list(_build(kind, folder).evaluate([given], seed=0))
    assert given == STRETCHED
    assert given.lattice == STRETCHED.lattice


def test_properties_carry_units_and_the_version_is_stable(kind, folder):
    oracle, again = _build(kind, folder), _build(kind, folder)
    assert oracle.version == again.version
    assert oracle.version.startswith(kind)
    assert oracle.nominal_seconds > 0
    assert oracle.properties
    assert len({prop.name for prop in oracle.properties}) == len(oracle.properties)
    for prop in oracle.properties:
        assert PROPERTY_NAME.match(prop.name)
        assert prop.unit
        assert prop.description


@pytest.fixture(scope="module")
def worker() -> Iterator[ProcessPoolExecutor]:
    """A process of its own, started as the campaign's workers are."""
    packages = {name: list(importlib.import_module(name).__path__) for name in GROUPS.values()}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=find_kinds_in, initargs=(packages,)) as pool:
        yield pool


def test_built_again_in_a_worker_process_it_answers_the_same(kind, folder, worker):
    spec, context = KindSpec(kind=kind, **NEEDED.get(kind, {})), OracleContext("cpu", str(folder))
    there = worker.submit(version_and_answer, spec, context, STRETCHED, 5).result(timeout=300)
    here = version_and_answer(spec, context, STRETCHED, 5)
    assert there[0] == here[0]
    assert _same(there[1], here[1])


def test_an_oracle_can_be_pickled(kind, folder):
    oracle = _build(kind, folder)
    assert pickle.loads(pickle.dumps(oracle)).version == oracle.version


def test_nothing_is_printed(kind, folder, capfd):
    list(_build(kind, folder).evaluate([COPPER.copy()], seed=0))
    assert capfd.readouterr().out == ""
