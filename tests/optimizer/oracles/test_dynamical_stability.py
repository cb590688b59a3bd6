"""The oracle that pushes and relaxes."""

from __future__ import annotations

from dataclasses import replace

from ase.build import bulk

from campaigns.records import Failed, FailureCode, Measured
from optimizer.oracles import dynamical_stability
from optimizer.oracles.dynamical_stability import Params, build
from optimizer.perturbation import Perturbed
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


def test_a_push_that_has_not_settled_is_no_sign_of_stability(monkeypatch):
    unsettled = Perturbed(0.001, 0.1, 8, (2, 2, 2), 150, settled=False)
    monkeypatch.setattr(dynamical_stability, "perturb_and_relax", lambda *given, **named: unsettled)
    outcome = ORACLE._measure(to_structure(bulk("Cu")), 0)
    assert isinstance(outcome, Failed)
    assert outcome.code == FailureCode.UNCONVERGED
    fallen = replace(unsettled, energy_drop_ev_atom=0.1)
    monkeypatch.setattr(dynamical_stability, "perturb_and_relax", lambda *given, **named: fallen)
    assert ORACLE._measure(to_structure(bulk("Cu")), 0).flags == ("dynamically_unstable",)


def test_an_unstable_crystal_is_flagged():
    outcome = _measured("sc", 2.4)
    assert outcome.flags == ("dynamically_unstable",)
    assert outcome.values["instability_ev_atom"] > 0.1
    assert outcome.details["supercell"] == [3, 3, 3]
