"""Fitting one outcome's Gaussian process: which kernel, its hyperparameters, and what is done when that fails."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from botorch.models import SingleTaskGP
from botorch.models.utils.gpytorch_modules import MIN_INFERRED_NOISE_LEVEL
from torch import Tensor

from surrogates.calibration import LeaveOneOut, leave_one_out
from surrogates.gp_models import (
    FIT_ERRORS,
    RAISED_NOISE_FLOOR,
    Rows,
    conditioned,
    fitted_model,
    fixed_model,
    told_apart,
    values_of,
)
from surrogates.kernel_choice import DEFAULT, chosen_kernel
from surrogates.kernels import length_scales

AUTO = "auto"
CHOICE_GROWTH = 2.0  # a kernel serves until there are this many times the rows it was chosen by
GROWTH = 1.25  # hyperparameters serve until there are this many times the rows they were fitted to


@dataclass(frozen=True)
class FitSettings:
    """Kernel name or AUTO, iterations, and how many rows fix the hyperparameters."""

    kernel: str
    max_steps: int
    fit_rows: int


@dataclass(frozen=True)
class _Recipe:
    """One way to fit an outcome; `why` says what went wrong with the one before it."""

    kernel: str
    noise_floor: float
    fallback: str | None = None
    why: str = ""


@dataclass(frozen=True)
class _Hyperparameters:
    """Of one kernel, in units of the standardised outcome and the scaled inputs; as the ledger keeps them."""

    kernel: str
    values: Mapping[str, Any]  # parameter name -> nested lists
    fitted_rows: int
    scores: Mapping[str, float]  # of the kernels it was chosen among
    chosen_rows: int  # how many rows there were then


def fit_outcome(
    rows: Rows, settings: FitSettings, before: Mapping[str, Any] | None
) -> tuple[SingleTaskGP, dict[str, Any]]:
    """The model and its JSON-able report entry. `before` is the entry of an earlier fit to fewer of these rows."""
    caught: list[str] = []
    for recipe in _recipes(rows.y, settings.kernel, caught):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            try:
                model, fitted = _followed(recipe, rows, settings, before)
                scores = _leave_one_out(model) if len(rows) > 1 else None
            except FIT_ERRORS as error:
                caught.append(f"{recipe.kernel}: {type(error).__name__}: {str(error).splitlines()[0][:200]}")
                continue
        notes = sorted({str(item.message).splitlines()[0][:200] for item in seen})
        return model, _entry(model, recipe, fitted, scores, rows, notes)
    raise AssertionError("fixed hyperparameters with a noise floor always give a positive definite covariance")


def _recipes(y: Tensor, kernel: str, caught: list[str]) -> Iterator[_Recipe]:
    """What to try, in order. `caught` fills with the errors of what was tried."""
    floor = MIN_INFERRED_NOISE_LEVEL
    simplest = DEFAULT if kernel == AUTO else kernel
    if len(y) == 0:
        yield _Recipe(simplest, floor, "prior", "no observation")
        return
    if not told_apart(y):
        yield _Recipe(simplest, floor, "fixed", "one observation" if len(y) == 1 else "constant outcome")
        return
    yield _Recipe(kernel, floor)
    raised = _Recipe(simplest, RAISED_NOISE_FLOOR, "noise_floor")
    yield replace(raised, why="; ".join(caught))
    if simplest != "matern52":
        yield replace(raised, kernel="matern52", fallback="matern52", why="; ".join(caught))
    yield replace(raised, fallback="fixed", why="; ".join(caught))


def _followed(
    recipe: _Recipe, rows: Rows, settings: FitSettings, before: Mapping[str, Any] | None
) -> tuple[SingleTaskGP, _Hyperparameters | None]:
    """The model that the recipe gives, and its hyperparameters where any were fitted."""
    if recipe.fallback in ("prior", "fixed"):
        return fixed_model(rows, recipe.kernel), None
    rows = _with_all_noise(rows, recipe, settings)
    if recipe.fallback is None and (kept := _still_good(before, recipe.kernel, len(rows))):
        return conditioned(rows, kept.kernel, kept.values, recipe.noise_floor), kept
    kernel, scores, chosen_rows = _kernel(rows, recipe, settings, before)
    few = rows.spread(settings.fit_rows)
    model = fitted_model(few, kernel, recipe.noise_floor, settings.max_steps)
    fitted = _Hyperparameters(kernel, values_of(model), len(rows), scores, chosen_rows)
    return (model if few is rows else conditioned(rows, kernel, fitted.values, recipe.noise_floor)), fitted


def _kernel(
    rows: Rows, recipe: _Recipe, settings: FitSettings, before: Mapping[str, Any] | None
) -> tuple[str, Mapping[str, float], int]:
    """The kernel to fit, the scores it was chosen by, and the rows there were when it was."""
    if recipe.kernel != AUTO:
        return recipe.kernel, {}, len(rows)
    if recipe.fallback is None and before and before.get("chosen_rows") and not before.get("fallback"):
        chosen_rows = before["chosen_rows"]
        if chosen_rows <= len(rows) < CHOICE_GROWTH * chosen_rows:
            return before["kernel"], before["kernel_scores"], chosen_rows
    chosen = chosen_kernel(
        rows, at_most=settings.fit_rows, noise_floor=recipe.noise_floor, max_steps=settings.max_steps
    )
    return *chosen, len(rows)


def _still_good(before: Mapping[str, Any] | None, kernel: str, n: int) -> _Hyperparameters | None:
    """The hyperparameters of an earlier entry, while the rows have grown by less than a quarter."""
    if not before or before.get("fallback") or not before.get("hyperparameters"):
        return None
    fitted_rows = before["fitted_rows"]
    if kernel not in (AUTO, before["kernel"]) or not fitted_rows <= n < GROWTH * fitted_rows:
        return None
    chosen_rows = before.get("chosen_rows") or fitted_rows
    return _Hyperparameters(
        before["kernel"], before["hyperparameters"], fitted_rows, before["kernel_scores"], chosen_rows
    )


def _with_all_noise(rows: Rows, recipe: _Recipe, settings: FitSettings) -> Rows:
    """Rows of unknown noise get the level that a fit without any stated noise infers."""
    if rows.noise is None or not rows.noise.isnan().any():
        return rows
    plain = replace(rows, noise=None).spread(settings.fit_rows)
    kernel = DEFAULT if recipe.kernel == AUTO else recipe.kernel
    inferred = fitted_model(plain, kernel, recipe.noise_floor, settings.max_steps).likelihood.noise.detach()
    return replace(rows, noise=torch.where(rows.noise.isnan(), inferred * rows.y.var(), rows.noise))


def _leave_one_out(model: SingleTaskGP) -> LeaveOneOut:
    """Leave-one-out predictions in units of the outcome's standard deviation."""
    model.train()  # train_inputs are then the raw rows, whatever mode the fit left behind
    with torch.no_grad():
        z = model.input_transform(model.train_inputs[0])
        noise = model.likelihood.noise.expand(len(z))
        covariance_matrix = model.covar_module(z).to_dense() + noise.diag()
        scale = getattr(model.covar_module, "outputscale", torch.ones((), dtype=z.dtype, device=z.device))
        centred = model.train_targets - model.mean_module(z)
        result = leave_one_out(covariance_matrix / scale, centred / scale.sqrt())
    if not torch.isfinite(result.residual).all() or not torch.isfinite(result.variance).all():
        raise RuntimeError("leave-one-out predictions are not finite")
    return result


def _entry(
    model: SingleTaskGP,
    recipe: _Recipe,
    fitted: _Hyperparameters | None,
    scores: LeaveOneOut | None,
    rows: Rows,
    notes: list[str],
) -> dict[str, Any]:
    """What the ledger keeps of one outcome's fit. Length scales are in edges of the normalised cube."""
    kernel = recipe.kernel if fitted is None else fitted.kernel
    scales = torch.cat([each.detach().flatten() for each in length_scales(model.covar_module)])
    standardised = getattr(model, "outcome_transform", None)
    unit = 1.0 if standardised is None else float(standardised.stdvs)
    noise = float(model.likelihood.noise.detach().median())
    return {
        "kernel": kernel,
        "kernel_scores": {} if fitted is None else dict(fitted.scores),  # cross-validated, nats a row
        "chosen_rows": None if fitted is None else fitted.chosen_rows,
        "observed": len(rows),
        "duplicated_rows": len(rows) - len(torch.unique(rows.z, dim=0)),
        "fallback": recipe.fallback,
        "why": recipe.why,
        "lengthscale": {
            "min": float(scales.min()),
            "median": float(scales.median()),
            "max": float(scales.max()),
        },
        "hyperparameters": None if fitted is None else dict(fitted.values),
        "fitted_rows": None if fitted is None else fitted.fitted_rows,
        "noise_sd": unit * noise**0.5 if len(rows) else None,  # in the outcome's unit
        "loo_log_score": None if scores is None else scores.log_score,  # nats per row, outcome standardised
        "loo_coverage_50": None if scores is None else scores.coverage(0.5),
        "loo_coverage_90": None if scores is None else scores.coverage(0.9),
        "warnings": notes,
    }
