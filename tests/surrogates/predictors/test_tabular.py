"""Predictors fitted to a table: errors, intervals and domain are what they claim to be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from surrogates.predictors.tabular import (
    LabelledRows,
    TabularPredictor,
    conformal_quantile,
    cross_validate,
    folds,
    require_enough,
)


def _rows(n: int, *, seed: int = 0, repeats: int = 1, noise: float = 0.3) -> LabelledRows:
    """A smooth law of two of four features with noise; `repeats` rows of each formula share features and noise."""
    rng = np.random.default_rng(seed)
    features = np.repeat(rng.uniform(-1, 1, (n, 4)), repeats, axis=0)
    errors = np.repeat(noise * rng.standard_normal(n), repeats)
    labels = np.sin(2 * features[:, 0]) + features[:, 1] + errors
    formulas = tuple(f"{seed}-{i}" for i in range(n) for _ in range(repeats))
    return LabelledRows(features, labels, formulas, (frozenset({"Na", "Cl"}),) * len(formulas))


@pytest.mark.parametrize("method", ["forest", "boosting"])
def test_it_learns_and_its_intervals_cover_what_they_promise(method):
    predictor = TabularPredictor.fit(_rows(200), method, 0.8)
    new = _rows(150, seed=1)
    found = [predictor.predict(x, formula, ["Na"]) for x, formula in zip(new.features, new.formulas, strict=True)]
    errors = np.abs([each.value for each in found] - new.labels)
    assert errors.mean() < 0.5  # noise alone leaves 0.24, the mean of the labels 0.8
    covered = np.mean([each.low <= label <= each.high for each, label in zip(found, new.labels, strict=True)])
    assert 0.68 <= covered <= 0.92


def test_rows_of_one_formula_stay_together_so_that_copies_do_not_flatter():
    """With each formula six times, a split by row would find every held-out row among those fitted."""
    pure_noise = _rows(40, repeats=6, noise=3.0)
    errors = cross_validate(pure_noise, "forest")
    assert errors.mean_absolute_error > 0.8 * errors.guess_error
    assert errors.n_formulas == 40
    assert errors.n_rows == 240


def test_folds_follow_from_the_formulas_alone():
    formulas = tuple(f"X{i % 37}" for i in range(100))
    fold = dict(zip(formulas, folds(formulas).tolist(), strict=True))
    shuffled = formulas[::-1]
    assert [fold[formula] for formula in shuffled] == folds(shuffled).tolist()
    assert set(fold.values()) == {0, 1, 2, 3, 4}


def test_it_says_what_it_was_fitted_to_and_where_the_table_is_empty():
    rows = _rows(60)
    predictor = TabularPredictor.fit(rows, "forest", 0.8)
    fitted = [predictor.predict(x, f, ["Na", "Cl"]) for x, f in zip(rows.features, rows.formulas, strict=True)]
    assert sum(each.in_sample for each in fitted) == 48  # a fifth is kept for the intervals
    assert all(each.in_domain for each in fitted if each.in_sample)
    assert not predictor.predict(rows.features[0], "new", ["Na", "Pu"]).in_domain
    far = predictor.predict(np.full(4, 9.0), "new", ["Na"])
    assert not far.in_domain
    assert not far.in_sample


def test_the_same_rows_give_the_same_predictor():
    values = [TabularPredictor.fit(_rows(50), "forest", 0.5).predict(np.zeros(4), "", []).value for _ in range(2)]
    assert values[0] == values[1]


def test_the_quantile_is_corrected_for_few_errors():
    errors = np.arange(1.0, 10.0)
    assert conformal_quantile(errors, 0.9) == 9.0  # the ninth of nine: ceil(10 * 0.9)
    assert conformal_quantile(errors, 0.5) == 5.0
    assert conformal_quantile(errors, 0.95) == math.inf


@pytest.mark.parametrize(
    ("n", "confidence", "said"), [(12, 0.5, "12 different formulas"), (30, 0.95, "lower `confidence`")]
)
def test_a_table_that_is_too_small_is_refused_with_the_remedy(n, confidence, said):
    with pytest.raises(ValueError, match=said):
        require_enough(_rows(n), confidence)
