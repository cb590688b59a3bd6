"""What every oracle kind must do. A new kind inherits these tests by existing."""

from __future__ import annotations

import importlib
import json
import math
import pickle
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from campaigns.kinds import available_kinds, build_kind
from campaigns.records import PROPERTY_NAME, Failed, FailureCode, Measured
from campaigns.spec import KindSpec, Strict
from optimizer.protocols import Oracle, OracleContext

NEEDED = {
    "lookup": {"path": "table.csv", "match": "formula", "key": "formula", "properties": {"gap_ev": "eV"}},
    "python": {"function": "model.py:predict", "properties": {"size": "atoms"}},
    "relax": {"calculator": "ase.calculators.emt:EMT"},
    "bulk_modulus": {"calculator": "ase.calculators.emt:EMT"},
}

each_kind = pytest.mark.parametrize("kind", available_kinds("oracle"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "table.csv").write_text("formula,gap_ev\nCu,0.0\n")
    (tmp_path / "model.py").write_text("def predict(crystal):\n    return len(crystal)\n")
    return tmp_path


def _build(kind: str, folder: Path) -> Oracle:
    spec = KindSpec(kind=kind, **NEEDED.get(kind, {}))
    return build_kind("oracle", spec, OracleContext("cpu", str(folder)), "oracles.0")


def _copper() -> Structure:
    return Structure(Lattice.from_parameters(2.55, 2.55, 2.55, 60, 60, 60), ["Cu"], [[0, 0, 0]])


@each_kind
def test_every_crystal_gets_one_outcome_with_finite_values_of_the_declared_properties(kind, folder):
    oracle = _build(kind, folder)
    crystals = [_copper(), _copper()]
    outcomes = dict(oracle.evaluate(crystals, seed=0))
    assert sorted(outcomes) == [0, 1]
    for outcome in outcomes.values():
        assert isinstance(outcome, Measured), outcome
        assert set(outcome.values) == {prop.name for prop in oracle.properties}
        assert all(math.isfinite(value) for value in outcome.values.values())
        assert outcome.crystal.composition.reduced_formula == "Cu"
        assert not outcome.crystal.site_properties
        assert outcome.seconds > 0
        json.dumps(dict(outcome.details))
        json.dumps(list(outcome.flags))


@each_kind
def test_an_impossible_crystal_is_an_outcome_and_no_exception(kind, folder):
    overlapping = Structure(Lattice.cubic(4), ["Cu", "Lr"], [[0, 0, 0], [0.01, 0, 0]])
    ((index, outcome),) = _build(kind, folder).evaluate([overlapping], seed=0)
    assert index == 0
    assert isinstance(outcome, Measured | Failed)
    if isinstance(outcome, Failed):
        assert outcome.code in FailureCode
        assert outcome.message


@each_kind
def test_properties_carry_units_and_the_version_is_stable(kind, folder):
    oracle, again = _build(kind, folder), _build(kind, folder)
    assert oracle.version == again.version
    assert oracle.version.startswith(kind)
    assert oracle.nominal_seconds > 0
    assert oracle.properties
    for prop in oracle.properties:
        assert PROPERTY_NAME.match(prop.name)
        assert prop.unit
        assert prop.description


@each_kind
def test_an_oracle_travels_to_a_worker_process(kind, folder):
    oracle = _build(kind, folder)
    assert pickle.loads(pickle.dumps(oracle)).version == oracle.version


@each_kind
def test_every_parameter_is_described_and_unknown_ones_are_refused(kind):
    module = importlib.import_module(available_kinds("oracle")[kind])
    assert issubclass(module.Params, Strict)
    assert all(field.description for field in module.Params.model_fields.values())


@each_kind
def test_nothing_is_printed(kind, folder, capfd):
    list(_build(kind, folder).evaluate([_copper()], seed=0))
    assert capfd.readouterr().out == ""
