"""Seconds, failures and arms."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from report_ledgers import HOSTILE

from campaigns.ledger import Event, RoundRecord
from optimizer.report.effort import arms, phase_seconds, reasons, stage_costs
from optimizer.report.snapshot import take_snapshot
from optimizer.status import failures_by_stage

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> str:
    return (NOON + timedelta(seconds=seconds)).isoformat()


def test_every_stage_has_its_seconds(searched):
    relax, python = stage_costs(take_snapshot(searched))
    assert (relax.stage, relax.entered, relax.failed) == ("relax", 12, 2)
    assert relax.seconds == pytest.approx(10 * 1.5 + 2 * 0.5)
    assert (python.entered, python.longest) == (10, 2.0)


def test_a_night_between_two_sessions_is_no_time_spent(searched):
    """Driven from 0 to 100 s and from 50,000 to 50,100 s; a round's phases end at 20, 90 and 50,040 s."""
    phases = [("start", 20), ("evaluate", 90), ("propose", 50_040)]
    snapshot = replace(
        take_snapshot(searched),
        rounds=tuple(RoundRecord(n, phase, {}, {}, at(end)) for n, (phase, end) in enumerate(phases)),
        events=tuple(Event(at(end), "clock", "", {"hours": 100 / 3600}) for end in (100, 50_100)),
    )
    assert phase_seconds(snapshot) == pytest.approx({"start": 20, "evaluate": 70, "propose": 10 + 40})
    rounds = (*snapshot.rounds[:2], RoundRecord(2, "propose", {}, {"seconds": 3.0}, at(50_040)))
    beside = phase_seconds(replace(snapshot, rounds=rounds))  # while the oracles went on
    assert beside == pytest.approx({"start": 20, "evaluate": 70 + 47, "propose": 3})
    drives = replace(snapshot, events=(), driven_since=NOON, taken_at=NOON + timedelta(seconds=60))
    assert phase_seconds(drives) == pytest.approx({"start": 20, "evaluate": 40, "propose": 0})
    assert sum(phase_seconds(replace(snapshot, events=())).values()) == 0


def test_reasons_stand_with_their_stage_and_an_example(searched):
    snapshot = take_snapshot(searched)
    found = {(each.stage, each.code.value): each for each in reasons(snapshot, failures_by_stage(searched))}
    assert found["before any oracle", "duplicate"].count == 21
    collapsed = found["relax", "collapsed"]
    assert (collapsed.count, collapsed.failure) == (2, True)
    assert collapsed.example.endswith(HOSTILE)


def test_arms_have_their_shares_and_what_they_earned(searched):
    found = arms(take_snapshot(searched), ["002-0002"])
    by_name = {arm.name: arm for arm in found.arms}
    assert set(by_name) == {HOSTILE, "trust_region"}
    assert sum(arm.evaluated for arm in found.arms) == 12
    assert sum(arm.best_quarter for arm in found.arms) == 3
    assert (by_name[HOSTILE].ranked, by_name[HOSTILE].best) == (1, 3.5)
    assert dict(found.shares["trust_region"]) == pytest.approx({0: 0.5, 1: 0.6, 2: 0.7})
    for steps in found.earned.values():
        assert [n for n, _ in steps] == [1, 2]
        assert [total for _, total in steps] == sorted(total for _, total in steps)
