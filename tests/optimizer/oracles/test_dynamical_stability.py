"""The oracle that pushes and relaxes."""

from __future__ import annotations

from ase.build import bulk

from campaigns.records import Failed, FailureCode, Measured
from optimizer.oracles.dynamical_stability import Params, build
from optimizer.protocols import OracleContext
from optimizer.relaxation import to_structure

ORACLE = build(Params(calculator="ase.calculators.emt:EMT", trials=1), OracleContext("cpu"))


def _measured(structure: str, edge: float) -> Measured:
    ((_, outcome),) = ORACLE.evaluate([to_structure(bulk("Cu", structure, edge))], seed=3)
    assert isinstance(outcome, Measured)
    return outcome


def test_a_stable_crystal_has_no_flag_and_no_instability_below_zero():
    outcome = _measured("fcc", 3.59)
    assert outcome.flags == ()
    assert 0 <= outcome.values["instability_ev_atom"] < 1e-3


def test_a_push_that_has_not_settled_is_no_sign_of_stability():
    hasty = build(Params(calculator="ase.calculators.emt:EMT", trials=1, max_ion_steps=2), OracleContext("cpu"))
    crystals = [to_structure(bulk("Cu", "fcc", 3.59)), to_structure(bulk("Cu", "sc", 2.4))]
    stable, unstable = (outcome for _, outcome in sorted(hasty.evaluate(crystals, seed=3)))
    assert isinstance(stable, Failed)
    assert stable.code == FailureCode.UNCONVERGED
    assert unstable.flags == ("dynamically_unstable",)  # it has fallen far enough on the way


def test_an_unstable_crystal_is_flagged():
    outcome = _measured("sc", 2.4)
    assert outcome.flags == ("dynamically_unstable",)
    assert outcome.values["instability_ev_atom"] > 0.1
    assert outcome.details["supercell"] == [3, 3, 3]
