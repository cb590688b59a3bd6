"""Best so far by call, beside the start."""

from __future__ import annotations

import pytest
from report_ledgers import proposal

from campaigns.records import Failed, FailureCode, Measured, StageOutcome
from optimizer.report.convergence import convergence, pareto_front
from optimizer.report.listing import Column
from optimizer.report.progress_charts import convergence_chart
from optimizer.report.snapshot import take_snapshot


def test_one_goal_climbs_from_its_start(searched):
    """Candidates 4 and 9 failed; those from 11 on lie above the hull's bound."""
    found = convergence(take_snapshot(searched))
    assert found.best[0] == (1, 1.0)
    assert (found.start, found.start_calls, found.calls) == (1.75, 4, 10)
    assert found.best[-1] == (9, 3.5)
    values = [value for _, value in found.best]
    assert values == sorted(set(values))
    assert [m.value is None for m in found.measurements] == [k in (4, 9) for k in range(12)]
    assert [m.start for m in found.measurements] == [k < 4 for k in range(12)]
    assert not found.measurements[11].feasible


def test_who_was_kept_out_by_a_rule_is_not_shown_as_failed(make_ledger):
    store = make_ledger(rounds=1)
    for n, code in ((0, FailureCode.STOPPED_BY_RULE), (1, FailureCode.COLLAPSED)):
        crystal = proposal(9, n).crystal
        store.finish_phase(9 + n, "propose", candidates=[proposal(9 + n, 0)])
        first = StageOutcome("relax", "1", Measured({"energy_above_hull_ev_atom": 0.0}, crystal))
        store.record(f"{9 + n:03d}-0000", [first, StageOutcome("before python", "gate-1", Failed(code, ""))])
    snapshot = take_snapshot(store)
    drawn = str(convergence_chart(convergence(snapshot), Column("gap_ev", "gap", "eV", "")).picture)
    kept_out, failed = snapshot.evaluated[-2:]
    assert f"{kept_out.formula}: kept out by a rule" in drawn
    assert f"{failed.formula}: failed" in drawn


def test_minimising_and_targets_count_towards_the_goal(make_ledger):
    down = convergence(take_snapshot(make_ledger(objectives={"gap_ev": "minimize"})))
    assert down.best == ((1, 1.0),)
    near = convergence(take_snapshot(make_ledger(objectives={"gap_ev": {"target": 2.0}})))
    assert near.target == 2.0
    assert [value for _, value in near.best] == [1.0, 1.25, 1.5, 1.75]


def test_two_goals_grow_to_the_whole_hypervolume(make_ledger):
    store = make_ledger(objectives={"gap_ev": "maximize", "width_ev": "minimize"}, constraints={})
    snapshot = take_snapshot(store)
    found = convergence(snapshot)
    shares = [share for _, share in found.best]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert found.start is not None
    assert 0 <= found.start < 1
    same = {snapshot.evaluated[i].candidate.id for i in snapshot.objective.front(snapshot.values)}
    assert pareto_front(snapshot.evaluated, snapshot.objective) == same
