"""Predictions beside measurements, and whether their intervals hold."""

from __future__ import annotations

import math

import pytest

from optimizer.report.forecasts import Forecast, calibrations, forecasts
from optimizer.report.snapshot import take_snapshot


def test_only_what_was_predicted_and_measured_counts(searched):
    made = forecasts(take_snapshot(searched))
    assert set(made) == {"gap_ev"}  # no bound or goal reads the width
    assert len(made["gap_ev"]) == 8 - 2  # the start carries none, two failed
    first = made["gap_ev"][0]
    assert (first.mean, first.sd, first.measured, first.round) == (2.0, 0.5, 2.25, 1)
    assert first.deviations == pytest.approx(0.5)


def test_intervals_hold_what_they_should():
    inside, middle, outside = (Forecast("X", 1, 0.0, 1.0, value) for value in (0.67, 1.64, -1.65))
    assert (inside.inside(50), inside.inside(90)) == (True, True)
    assert (middle.inside(50), middle.inside(90)) == (False, True)
    assert (outside.inside(50), outside.inside(90)) == (False, False)


def test_calibration_follows_from_the_candidates(searched):
    snapshot = take_snapshot(searched)
    found = calibrations(snapshot, forecasts(snapshot))["gap_ev"]
    assert [(each.first, each.last, each.n) for each in found] == [(1, 1, 3), (2, 2, 3)]
    assert all(each.coverage_90 == 1.0 for each in found)
    deviations = [f.deviations for f in forecasts(snapshot)["gap_ev"][:3]]
    by_hand = sum(-0.5 * d * d - 0.5 * math.log(2 * math.pi) - math.log(0.5) for d in deviations) / 3
    assert found[0].log_score == pytest.approx(by_hand)


def test_many_rounds_are_told_in_blocks(make_ledger):
    store = make_ledger(rounds=30)
    snapshot = take_snapshot(store)
    made = forecasts(snapshot)
    found = calibrations(snapshot, made)["gap_ev"]
    assert len(found) <= 24
    assert (found[0].first, found[0].last) == (1, 2)
    assert sum(each.n for each in found) == len(made["gap_ev"])
