"""The shared frame of oracles: clock, order, failures as values."""

from __future__ import annotations

import time

from pymatgen.core import Lattice, Structure

from campaigns.records import Failed, FailureCode, Measured
from optimizer.measuring import one_by_one

CRYSTALS = [Structure(Lattice.cubic(3 + i), ["Cu"], [[0, 0, 0]]) for i in range(3)]


def _measure(crystal: Structure) -> Measured | Failed:
    time.sleep(0.001)
    if crystal.lattice.a == 4:
        raise RuntimeError("broken")
    return Measured({"edge_ang": float("nan") if crystal.lattice.a == 5 else crystal.lattice.a}, crystal)


def test_each_outcome_is_timed_and_none_is_lost():
    outcomes = dict(one_by_one(CRYSTALS, _measure))
    assert list(outcomes) == [0, 1, 2]
    assert isinstance(outcomes[0], Measured)
    assert all(outcome.seconds >= 0.001 for outcome in outcomes.values())


def test_exceptions_and_nan_become_failures():
    outcomes = dict(one_by_one(CRYSTALS, _measure))
    assert outcomes[1] == Failed(FailureCode.ORACLE_ERROR, "RuntimeError: broken", outcomes[1].seconds)
    assert outcomes[2] == Failed(FailureCode.INVALID_VALUE, "edge_ang came out as nan", outcomes[2].seconds)


def test_outcomes_come_as_they_finish():
    seen = []
    outcomes = one_by_one(CRYSTALS, lambda crystal: seen.append(crystal) or Measured({}, crystal))
    next(outcomes)
    assert len(seen) == 1
