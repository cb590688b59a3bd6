"""Metrics against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.search import metrics

LEVELS = [(0.5, 36, 18), (0.25, 4, 1), (0.8, 36, 29), (1.0, 38, 38), (0.1, 4, 1)]


def test_hits_count_once_and_in_order():
    found = metrics.hits_by_call(["a", None, "b", "b", "c"], ["b", "c", "d"])
    assert found.tolist() == [0, 0, 0, 1, 1, 2]
    assert metrics.calls_to(found, 1) == 3
    assert metrics.calls_to(found, 2) == 5
    assert math.isinf(metrics.calls_to(found, 3))


@pytest.mark.parametrize(("share", "hits", "k"), LEVELS)
def test_levels_are_whole_hits(share, hits, k):
    assert metrics.level(share, hits) == k


def test_the_last_hit_is_the_one_found_last_or_the_only_one_missed():
    assert metrics.last_of(["a", None, "x", "c", "b", "a"], ["a", "b", "c"]) == "b"
    assert metrics.last_of(["a", "x", "c"], ["a", "b", "c"]) == "b"
    assert metrics.last_of(["a", "x"], ["a", "b", "c"]) is None


def test_random_draws_agree_with_drawing():
    pool, hits, k = 30, 5, 2
    rng = np.random.default_rng(0)
    drawn = [np.flatnonzero(rng.permutation(pool) < hits)[k - 1] + 1 for _ in range(4000)]
    assert metrics.random_calls_to(k, hits, pool) == pytest.approx(np.mean(drawn), rel=0.05)
    assert metrics.random_hits(15, hits, pool) == pytest.approx(2.5)


def test_factors_are_over_random_draws():
    found = metrics.hits_by_call([str(i) for i in range(18)], [str(i) for i in range(36)])
    assert metrics.acceleration(18, 18, 36, 3787) == pytest.approx(18 * 3788 / 37 / 18)
    assert metrics.acceleration(math.inf, 18, 36, 3787) == 0
    assert metrics.enhancement(found, 100, 36, 3787, ended=True) == pytest.approx(18 / (36 * 100 / 3787))
    assert math.isnan(metrics.enhancement(found, 100, 36, 3787, ended=False))
    assert metrics.enhancement(found, 10, 36, 3787, ended=False) == pytest.approx(10 / (36 * 10 / 3787))


def test_censored_runs_count_in_medians_and_bands():
    assert metrics.median_of_censored([10, math.inf, 20]) == 20
    assert math.isinf(metrics.median_of_censored([10, math.inf]))
    assert metrics.median_of_censored([10, 20, 30, math.inf]) == 25
    low, high = metrics.bootstrap_band([100.0, 110.0, 120.0, math.inf])
    assert low >= 100
    assert math.isinf(high)
    assert metrics.bootstrap_band([5.0, 5.0, 5.0]) == (5.0, 5.0)


def test_the_best_so_far_is_kept_to_the_end():
    found = metrics.best_so_far([None, 1.0, 0.5, 2.0], 6)
    assert np.isnan(found[0])
    assert found[1:].tolist() == [1.0, 1.0, 2.0, 2.0, 2.0]
    middle, low, high = metrics.curve_bands(np.stack([found, found + 1, found + 2]))
    assert middle[3] == 3.0
    assert low[3] <= 3.0 <= high[3]
    assert np.isnan(middle[0])
