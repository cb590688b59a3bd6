"""The relax oracle: what it reports and how it fails."""

from __future__ import annotations

from dataclasses import replace

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


def test_chgnet_takes_many_at_once_on_a_gpu_only():
    together = [build(params, OracleContext(device)).together for params, device in MANY]
    assert together == [1, 256, 32, 1]


MANY = [(Params(), "cpu"), (Params(), "cuda"), (Params(together=32), "cuda"), (Params(calculator=EMT), "cuda")]


def test_chgnet_relaxes_a_list_as_it_relaxes_each():
    sides = (2.5, 2.7)
    crystals = [Structure(Lattice.from_parameters(a, a, a, 60, 60, 60), ["Cu"], [[0, 0, 0]]) for a in sides]
    crystals.insert(1, Structure(Lattice.cubic(4), ["Cu"] * 2, [[0, 0, 0], [0.01, 0, 0]]))
    oracle = build(Params(), CONTEXT)
    found = dict(replace(oracle, together=2).evaluate(crystals, seed=0))
    assert [isinstance(found[n], Measured) for n in range(3)] == [True, False, True]
    assert found[1].code == FailureCode.COLLAPSED
    for n in (0, 2):
        ((_, alone),) = oracle.evaluate([crystals[n]], seed=0)
        assert found[n].values == pytest.approx(alone.values, abs=1e-6)
        assert found[n].crystal.volume == pytest.approx(alone.crystal.volume, rel=1e-6)
        assert found[n].details["steps"] == alone.details["steps"]
        assert found[n].seconds > 0
        assert found[n].crystal.volume * 4 == pytest.approx(3.61**3, rel=0.03)
