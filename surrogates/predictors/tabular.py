"""A predictor of one number, fitted to a table of features: forest or gradient boosting, with intervals and a domain.

What it says of itself is measured on formulas that it has not seen. The error is of five-fold cross-validation in which
all rows of a reduced formula stay together. Intervals are split-conformal (J. Lei et al., J. Am. Stat. Assoc. 113, 1094
(2018), algorithm 2): a fifth of the formulas is kept from the fit, and the half width is the quantile of the errors
there, with the correction for their number. For formulas drawn like the table's they cover at least the confidence; for
what a search comes up with they promise nothing. A point is out of the domain where an element of it occurs in no
fitted row, or where it is farther from the nearest fitted row than all but a twentieth of the rows kept apart.

Everything follows from the rows and the parameters; nothing is pickled.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from sklearn.neighbors import NearestNeighbors

Method = Literal["forest", "boosting"]
FOLDS = 5
FEWEST_FORMULAS = 20
"""With fewer the folds hold three or less, and four of them give no interval of 80 %."""
FAR = 0.95


@dataclass(frozen=True)
class LabelledRows:
    """features `[n, f]`, labels `[n]`, and per row the reduced formula and its elements. Formulas make the groups."""

    features: NDArray[np.float64]
    labels: NDArray[np.float64]
    formulas: tuple[str, ...]
    elements: tuple[frozenset[str], ...]


@dataclass(frozen=True)
class CrossValidation:
    """Errors on formulas left out, in the label's unit; `guess_error` is that of always answering the mean."""

    mean_absolute_error: float
    guess_error: float
    r2: float
    n_rows: int
    n_formulas: int


@dataclass(frozen=True)
class Prediction:
    """A value, its interval, whether its formula was fitted to, and whether it lies where the table has anything."""

    value: float
    low: float
    high: float
    in_sample: bool
    in_domain: bool


@dataclass(frozen=True)
class TabularPredictor:
    """Fitted; see the module. `half_width` is the interval's, at `confidence`."""

    model: Any
    half_width: float
    confidence: float
    fitted_formulas: frozenset[str]
    fitted_elements: frozenset[str]
    centre: NDArray[np.float64]  # [f]
    scale: NDArray[np.float64]  # [f]
    neighbours: NearestNeighbors
    far: float

    @classmethod
    def fit(cls, rows: LabelledRows, method: Method, confidence: float) -> TabularPredictor:
        """Fit to four fifths of the formulas, measure on the rest. Raises ValueError as `require_enough` does."""
        require_enough(rows, confidence)
        kept = folds(rows.formulas) == 0  # bool [n]
        fitted = rows.features[~kept]
        model = _model(method).fit(fitted, rows.labels[~kept])
        errors = np.abs(model.predict(rows.features[kept]) - rows.labels[kept])
        centre, scale = fitted.mean(axis=0), fitted.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        neighbours = NearestNeighbors(n_neighbors=1).fit((fitted - centre) / scale)
        distances = neighbours.kneighbors((rows.features[kept] - centre) / scale)[0][:, 0]
        return cls(
            model,
            conformal_quantile(errors, confidence),
            confidence,
            frozenset(formula for formula, out in zip(rows.formulas, kept, strict=True) if not out),
            frozenset().union(*(each for each, out in zip(rows.elements, kept, strict=True) if not out)),
            centre,
            scale,
            neighbours,
            float(np.quantile(distances, FAR)),
        )

    def predict(self, features: NDArray[np.float64], formula: str, elements: Iterable[str]) -> Prediction:
        """features `[f]` of one point."""
        value = float(self.model.predict(features[None])[0])
        distance = float(self.neighbours.kneighbors(((features - self.centre) / self.scale)[None])[0][0, 0])
        return Prediction(
            value,
            value - self.half_width,
            value + self.half_width,
            formula in self.fitted_formulas,
            set(elements) <= self.fitted_elements and distance <= self.far,
        )


def require_enough(rows: LabelledRows, confidence: float) -> None:
    """Raises ValueError where the table is too small for folds, or for an interval of this confidence."""
    n_formulas = len(set(rows.formulas))
    if n_formulas < FEWEST_FORMULAS:
        raise ValueError(f"{n_formulas} different formulas are too few to learn from; give {FEWEST_FORMULAS} or more")
    n_kept = int((folds(rows.formulas) == 0).sum())
    if math.ceil((n_kept + 1) * confidence) > n_kept:
        needed = math.ceil(FOLDS * confidence / (1 - confidence))
        raise ValueError(
            f"{len(rows.labels)} rows are too few for intervals of {confidence:.0%}; "
            f"lower `confidence`, or give about {needed} rows"
        )


def folds(formulas: Sequence[str]) -> NDArray[np.int64]:
    """Fold 0 to 4 of every row `[n]`: formulas in the order of their hashes, dealt out in turn."""
    in_turn = sorted(set(formulas), key=lambda formula: hashlib.sha256(formula.encode()).digest())
    fold_of = {formula: place % FOLDS for place, formula in enumerate(in_turn)}
    return np.array([fold_of[formula] for formula in formulas])


def cross_validate(rows: LabelledRows, method: Method) -> CrossValidation:
    """Every row is predicted by a model that saw no row of its formula."""
    fold, predicted, guessed = folds(rows.formulas), np.zeros(len(rows.labels)), np.zeros(len(rows.labels))
    for each in range(FOLDS):
        out = fold == each
        predicted[out] = _model(method).fit(rows.features[~out], rows.labels[~out]).predict(rows.features[out])
        guessed[out] = rows.labels[~out].mean()
    squares = np.square(rows.labels - rows.labels.mean()).sum()
    return CrossValidation(
        mean_absolute_error=float(np.abs(predicted - rows.labels).mean()),
        guess_error=float(np.abs(guessed - rows.labels).mean()),
        r2=float(1 - np.square(predicted - rows.labels).sum() / squares) if squares > 0 else 0.0,
        n_rows=len(rows.labels),
        n_formulas=len(set(rows.formulas)),
    )


def conformal_quantile(errors: NDArray[np.float64], confidence: float) -> float:
    """The ceil((n + 1) confidence)-th smallest of n errors `[n]`; infinite where there are too few."""
    place = math.ceil((len(errors) + 1) * confidence)
    return float(np.sort(errors)[place - 1]) if place <= len(errors) else math.inf


def _model(method: Method) -> Any:
    if method == "forest":
        return ExtraTreesRegressor(n_estimators=200, max_features=1 / 3, min_samples_leaf=2, random_state=0)
    return HistGradientBoostingRegressor(
        max_iter=400, learning_rate=0.05, min_samples_leaf=10, l2_regularization=1.0, early_stopping=False
    )
