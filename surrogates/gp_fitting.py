"""Fitting one outcome's Gaussian process: which kernel, its hyperparameters, and what is done when that fails.

Which covariance function (`surrogates.kernels`) is decided by evidence: each is fitted to two thirds of the rows and
judged by the log density it gives to the others, three times over; where the best is ahead of the default by less than
`CLEARLY` standard errors of the difference, the default stays. Leave-one-out scores, which need no refit, were not fit
to choose by, because the hyperparameters have seen the row: fitted to 24 of 2,500 crystals, SAAS promised -0.2 nats a
row for band gaps and gave -4.2 to new crystals, where RBF promised -1.0 and gave -1.5.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from botorch.exceptions import ModelFittingError
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms import Normalize, Standardize
from botorch.models.utils.gpytorch_modules import (
    MIN_INFERRED_NOISE_LEVEL,
    get_gaussian_likelihood_with_lognormal_prior,
)
from botorch.utils.sampling import manual_seed
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import ScaleKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.means import ConstantMean, Mean
from gpytorch.mlls import ExactMarginalLogLikelihood
from linear_operator.utils.errors import NotPSDError
from torch import Tensor

from surrogates.calibration import LeaveOneOut, leave_one_out
from surrogates.kernels import covariance, length_scales
from surrogates.means import PredictedMean
from surrogates.protocols import Block

AUTO = "auto"
RAISED_NOISE_FLOOR = 1e-2  # share of the outcome's variance; the usual floor is 1e-4
UNINFORMATIVE_VARIANCE = 1e6  # relative to the prior's: a row with this noise leaves the prior as it was
CHOSEN_AMONG = ("rbf", "matern52", "additive", "linear")  # saas takes longest and was best in 1 of 53 choices
DEFAULT = "rbf"  # BoTorch's own; where too few rows choose, and where the chosen one fails
CHOICE_ROWS, FOLDS = 100, 3  # rows that choose among kernels, and into how many parts they are split
CLEARLY = 2.0  # standard errors that another kernel must be ahead of the default
CHOICE_GROWTH = 2.0  # a kernel serves until there are this many times the rows it was chosen by
GROWTH = 1.25  # hyperparameters serve until there are this many times the rows they were fitted to
FIT_ERRORS = (
    ModelFittingError,
    NotPSDError,
    RuntimeError,
)  # torch's LinAlgError and gpytorch's NanError are the last


@dataclass(frozen=True)
class Rows:
    """What one outcome is fitted to: z `[n, d]`, y and the variance of its noise `[n, 1]`, bounds of z `[2, d]`."""

    z: Tensor
    y: Tensor
    noise: Tensor | None
    bounds: Tensor
    blocks: tuple[Block, ...]
    predicted: int | None = None  # the column of z that is a guess of y, in its unit

    def __len__(self) -> int:
        return len(self.y)

    def at(self, rows: Tensor) -> Rows:
        """These rows alone."""
        return replace(self, z=self.z[rows], y=self.y[rows], noise=None if self.noise is None else self.noise[rows])

    def spread(self, at_most: int) -> Rows:
        """At most so many, evenly over the order of proposal: the early say what holds everywhere, the late what does
        near the best."""
        if len(self) <= at_most:
            return self
        return self.at(torch.linspace(0, len(self) - 1, at_most, device=self.z.device).round().long())


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
    spread, size = float(y.max() - y.min()), float(y.abs().max())
    if spread <= 1e-9 * max(size, 1e-6):
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
        return _fixed_model(rows, recipe.kernel), None
    rows = _with_all_noise(rows, recipe, settings)
    if recipe.fallback is None and (kept := _still_good(before, recipe.kernel, len(rows))):
        return _conditioned(rows, kept, recipe.noise_floor), kept
    kernel, scores, chosen_rows = _kernel(rows, recipe, settings, before)
    few = rows.spread(settings.fit_rows)
    model = _fitted_model(few, kernel, recipe.noise_floor, settings.max_steps)
    fitted = _Hyperparameters(kernel, _values(model), len(rows), scores, chosen_rows)
    return (model if few is rows else _conditioned(rows, fitted, recipe.noise_floor)), fitted


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
    return *_chosen(rows, recipe, settings), len(rows)


def _chosen(rows: Rows, recipe: _Recipe, settings: FitSettings) -> tuple[str, dict[str, float]]:
    """The kernel with the best cross-validated score, and all scores; those that fail have none."""
    few, found, errors = rows.spread(min(CHOICE_ROWS, settings.fit_rows)), {}, []
    if len(few) < 2 * FOLDS:
        return DEFAULT, {}
    for kernel in CHOSEN_AMONG:
        try:
            found[kernel] = _cross_validated(few, kernel, recipe.noise_floor, settings.max_steps)
        except FIT_ERRORS as error:
            errors.append(error)
    if not found:
        raise errors[0]
    scores = {kernel: float(each.mean()) for kernel, each in found.items()}
    best = max(scores, key=lambda kernel: scores[kernel])
    if best != DEFAULT and DEFAULT in found:
        ahead = found[best] - found[DEFAULT]
        if float(ahead.mean()) < CLEARLY * float(ahead.std()) / len(ahead) ** 0.5:
            best = DEFAULT
    return best, scores


def _cross_validated(rows: Rows, kernel: str, noise_floor: float, max_steps: int) -> Tensor:
    """Log density of each row, left out with every third, in nats of the standardised outcome, `[n]`."""
    fold, unit = torch.arange(len(rows), device=rows.y.device) % FOLDS, rows.y.std()
    density = torch.zeros(len(rows), dtype=rows.y.dtype, device=rows.y.device)
    for number in range(FOLDS):
        kept, left = rows.at(fold != number), rows.at(fold == number)
        if float(kept.y.max() - kept.y.min()) <= 1e-9 * float(unit):
            continue  # nothing varies in what is kept: no kernel can be told from another
        model = _fitted_model(kept, kernel, noise_floor, max_steps).eval()
        with torch.no_grad():
            posterior = model.posterior(left.z[:, None, :])  # each row alone: no covariance among them is needed
            inferred = model.likelihood.noise.median() * kept.y.var()
            noise = inferred if left.noise is None else left.noise
            spread = (posterior.variance[:, 0] + noise).sqrt()
            deviation = (left.y - posterior.mean[:, 0]) / spread
        scores = -0.5 * (deviation.square() + math.log(2 * math.pi)) - (spread / unit).log()
        density[fold == number] = scores[:, 0]
    return density


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
    inferred = _fitted_model(plain, kernel, recipe.noise_floor, settings.max_steps).likelihood.noise.detach()
    return replace(rows, noise=torch.where(rows.noise.isnan(), inferred * rows.y.var(), rows.noise))


def _model(rows: Rows, kernel: str, noise_floor: float) -> SingleTaskGP:
    """Unfitted."""
    likelihood: GaussianLikelihood | None = None
    noise = rows.noise
    if noise is None:
        likelihood = get_gaussian_likelihood_with_lognormal_prior()
        constraint = GreaterThan(noise_floor, transform=None, initial_value=max(noise_floor, likelihood.noise.item()))
        likelihood.noise_covar.register_constraint("raw_noise", constraint)
    else:
        noise = noise.clamp_min(noise_floor * float(rows.y.var()))
    return SingleTaskGP(
        rows.z,
        rows.y,
        train_Yvar=noise,
        likelihood=likelihood,
        covar_module=covariance(kernel, rows.blocks),
        mean_module=_mean(rows),
        outcome_transform=Standardize(m=1, min_stdv=1e-12),
        input_transform=Normalize(d=rows.z.shape[1], bounds=rows.bounds),
    )


def _mean(rows: Rows) -> Mean:
    if rows.predicted is None:
        return ConstantMean()
    width = float(rows.bounds[1, rows.predicted] - rows.bounds[0, rows.predicted])
    return PredictedMean(rows.predicted, width / float(rows.y.std()))


def _fitted_model(rows: Rows, kernel: str, noise_floor: float, max_steps: int) -> SingleTaskGP:
    model = _model(rows, kernel, noise_floor)
    with manual_seed(0):  # a retry samples its starting point from the priors
        fit_gpytorch_mll(
            ExactMarginalLogLikelihood(model.likelihood, model),
            optimizer_kwargs={"options": {"maxiter": max_steps}},
            max_attempts=3,
        )
    return model


def _values(model: SingleTaskGP) -> dict[str, Any]:
    return {name: parameter.detach().tolist() for name, parameter in model.named_parameters()}


def _conditioned(rows: Rows, fitted: _Hyperparameters, noise_floor: float) -> SingleTaskGP:
    """All rows under hyperparameters that are known."""
    model = _model(rows, fitted.kernel, noise_floor)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in fitted.values:  # stated noise may have come or gone since
                parameter.copy_(torch.tensor(fitted.values[name], dtype=parameter.dtype, device=parameter.device))
    return model


def _fixed_model(rows: Rows, kernel: str) -> SingleTaskGP:
    """A GP whose hyperparameters stay at the modes of their priors.

    Equal observations tell no scale, so the prior variance is that of n zero deviations and one
    pseudo-observation off by the mean's own size (by 1 where the mean is 0): s^2 = size^2 / (n + 1). Without
    any observation the posterior is this prior with mean 0 and s = 1.
    """
    n, z, y, noise = len(rows), rows.z, rows.y, rows.noise
    if n == 0:
        mean, variance = 0.0, 1.0
        z, y = rows.bounds.mean(0, keepdim=True), rows.bounds.new_zeros(1, 1)
        noise = rows.bounds.new_full((1, 1), UNINFORMATIVE_VARIANCE)
    else:
        mean = float(y.mean())
        spread = float(y.var()) if n > 1 else 0.0
        variance = spread if spread > (1e-9 * max(abs(mean), 1e-6)) ** 2 else (abs(mean) or 1.0) ** 2 / (n + 1)
        floor = RAISED_NOISE_FLOOR * variance
        noise = torch.full_like(y, floor) if noise is None else noise.nan_to_num(floor).clamp_min(floor)
    shape = ScaleKernel(covariance(kernel, rows.blocks))
    shape.outputscale = variance
    constant = ConstantMean()
    constant.initialize(constant=mean)
    return SingleTaskGP(
        z,
        y,
        train_Yvar=noise,
        covar_module=shape,
        mean_module=constant,
        outcome_transform=None,
        input_transform=Normalize(d=z.shape[1], bounds=rows.bounds),
    )


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
