"""The relax oracle: what it reports and how it fails."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from campaigns.records import Failed, FailureCode, Measured
from optimizer.oracles.relax import Params, build
from optimizer.protocols import OracleContext

EMT = "ase.calculators.emt:EMT"
CONTEXT = OracleContext("cpu")


def _copper(edge: float) -> Structure:
    return Structure.from_spacegroup(225, Lattice.cubic(edge), ["Cu"], [[0, 0, 0]])


def test_the_relaxed_crystal_its_energy_and_its_steps_are_reported():
    ((_, outcome),) = build(Params(calculator=EMT), CONTEXT).evaluate([_copper(3.9)], seed=0)
    assert isinstance(outcome, Measured)
    assert outcome.crystal.lattice.a == pytest.approx(3.59, abs=0.01)
    assert outcome.values["energy_ev_atom"] == pytest.approx(-0.007, abs=0.001)
    assert outcome.details["steps"] > 0
    assert outcome.details["fmax_ev_per_ang"] <= 0.03
    assert outcome.details["volume_ratio"] == pytest.approx((3.59 / 3.9) ** 3, abs=0.01)


def test_one_bad_crystal_does_not_spoil_the_others():
    crystals = [_copper(1.4), _copper(3.7), _copper(20)]
    outcomes = dict(build(Params(calculator=EMT), CONTEXT).evaluate(crystals, seed=0))
    codes = [outcome.code if isinstance(outcome, Failed) else None for outcome in outcomes.values()]
    assert codes == [FailureCode.COLLAPSED, None, FailureCode.ISOLATED_ATOM]


def test_limits_reach_the_relaxation():
    ((_, outcome),) = build(Params(calculator=EMT, max_steps=1), CONTEXT).evaluate([_copper(3.9)], seed=0)
    assert isinstance(outcome, Failed)
    assert outcome.code == FailureCode.UNCONVERGED


def test_the_version_names_the_potential():
    assert "chgnet-0.3.0" in build(Params(), CONTEXT).version
    assert "ase.calculators.emt:EMT" in build(Params(calculator=EMT), CONTEXT).version
