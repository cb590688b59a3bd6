"""The magnetisation oracle."""

from __future__ import annotations

import pytest
from ase.build import bulk

from campaigns.records import Failed, FailureCode, Measured
from optimizer.oracles.magnetisation import Params, build
from optimizer.protocols import OracleContext
from optimizer.relaxation import to_structure

ORACLE = build(Params(), OracleContext("cpu"))


def _measured(atoms) -> Measured:
    ((_, outcome),) = ORACLE.evaluate([to_structure(atoms)], seed=0)
    assert isinstance(outcome, Measured)
    return outcome


def test_iron_is_a_magnet_and_copper_is_none():
    iron = _measured(bulk("Fe", "bcc", 2.87))
    assert iron.values["magnetisation_mub_atom"] == pytest.approx(2.3, abs=0.3)  # measured: 2.2
    assert iron.values["magnetisation_tesla"] == pytest.approx(2.3, abs=0.4)  # measured: 2.2
    assert _measured(bulk("Cu")).values["magnetisation_mub_atom"] < 0.1


def test_a_supercell_has_the_magnetisation_of_its_cell():
    cell, supercell = bulk("MnO", "rocksalt", 4.44), bulk("MnO", "rocksalt", 4.44) * (2, 1, 1)
    one, two = _measured(cell), _measured(supercell)
    assert dict(two.values) == pytest.approx(dict(one.values), rel=1e-3)
    assert one.values["magnetisation_mub_formula"] == pytest.approx(2 * one.values["magnetisation_mub_atom"])
    assert one.values["magnetisation_mub_formula"] == pytest.approx(4.7, abs=0.3)  # high-spin Mn2+: 5
    assert len(two.details["moments_mub"]) == 4


def test_an_atom_on_its_own_is_an_outcome():
    ((_, outcome),) = ORACLE.evaluate([to_structure(bulk("Fe", "sc", 20.0))], seed=0)
    assert isinstance(outcome, Failed)
    assert outcome.code == FailureCode.CALCULATOR_ERROR
