"""Exact Gaussian processes, one per outcome, each on the rows where that outcome was observed.

Kernel and priors are BoTorch's defaults: RBF without output scale on inputs normalised to the unit cube,
length scales under a log-normal prior that grows with the square root of the dimension (Hvarfner, Hellsten &
Nardi, "Vanilla Bayesian Optimization Performs Great in High Dimensions", ICML 2024), outcomes standardised.

Data alone never make a fit fail. What cannot be fitted as asked is fitted more simply, and the report says
how and why.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Literal

import torch
from botorch.exceptions import ModelFittingError
from botorch.fit import fit_gpytorch_mll
from botorch.models import ModelListGP, SingleTaskGP
from botorch.models.transforms import Normalize, Standardize
from botorch.models.utils.gpytorch_modules import (
    MIN_INFERRED_NOISE_LEVEL,
    get_covar_module_with_dim_scaled_prior,
    get_gaussian_likelihood_with_lognormal_prior,
)
from botorch.utils.sampling import manual_seed
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import ScaleKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.means import ConstantMean
from gpytorch.mlls import ExactMarginalLogLikelihood
from linear_operator.utils.errors import NotPSDError
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from surrogates.calibration import LeaveOneOut, leave_one_out
from surrogates.protocols import FitReport, SurrogateContext

Kernel = Literal["rbf", "matern52"]
RAISED_NOISE_FLOOR = 1e-2  # share of the outcome's variance; the usual floor is 1e-4
UNINFORMATIVE_VARIANCE = 1e6  # relative to the prior's: a row with this noise leaves the prior as it was
FIT_ERRORS = (
    ModelFittingError,
    NotPSDError,
    RuntimeError,
)  # torch's LinAlgError and gpytorch's NanError are the last


class Params(BaseModel):
    """Parameters of `kind: exact_gp`. The step limit counts optimiser iterations, so a resumed run fits the
    same.

    The default stops early: with one length scale per latent dimension and a hundred rows, held-out log
    density falls from about 30 steps on while the marginal likelihood still rises.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kernel: Kernel = Field("rbf", description="`rbf` or `matern52`.")
    max_steps: int = Field(30, ge=1, le=10_000, description="L-BFGS-B iterations per outcome.")


@dataclass(frozen=True)
class FittedExactGP:
    """`model.posterior(z)` is the joint posterior over the m outcomes, in their own units."""

    model: ModelListGP
    report: FitReport


@dataclass(frozen=True)
class _Recipe:
    """One way to fit an outcome; `why` says what went wrong with the one before it."""

    kernel: Kernel
    noise_floor: float
    fallback: str | None = None
    why: str = ""


@dataclass(frozen=True)
class ExactGP:
    """The unfitted surrogate: parameters and the names of the outcomes."""

    params: Params
    context: SurrogateContext

    def fit(self, z: Tensor, y: Tensor, *, observed: Tensor, noise: Tensor | None = None) -> FittedExactGP:
        """Fit one GP per column of `y`. z `[n, d]`, y `[n, m]`, observed bool `[n, m]`, noise variances `[n,
        m]`, NaN where not known: those rows get the level that a fit without any stated noise infers.

        Deterministic: the same rows give the same posterior. Raises ValueError for wrong shapes or for
        observed values that are not finite.
        """
        start = perf_counter()
        self._check(z, y, observed, noise)
        place: dict[str, Any] = {"dtype": torch.float64, "device": self.context.device}
        z, y, observed = z.to(**place), y.to(**place), observed.to(self.context.device)
        bounds = _bounds(z)
        models, entries = [], {}
        for column, name in enumerate(self.context.outcomes):
            rows = observed[:, column]
            variance = None if noise is None else noise.to(**place)[rows, column, None]
            if variance is not None and variance.isnan().all():
                variance = None
            model, entries[name] = _fit_outcome(z[rows], y[rows, column, None], variance, bounds, self.params)
            models.append(model.eval().requires_grad_(False))
        return FittedExactGP(ModelListGP(*models), FitReport(entries, perf_counter() - start))

    def _check(self, z: Tensor, y: Tensor, observed: Tensor, noise: Tensor | None) -> None:
        shape = (z.shape[0], len(self.context.outcomes))
        if z.ndim != 2 or z.shape[1] == 0:
            raise ValueError(f"z must be [n, d] with d > 0, not {tuple(z.shape)}")
        for name, tensor in (("y", y), ("observed", observed), ("noise", noise)):
            if tensor is not None and tuple(tensor.shape) != shape:
                raise ValueError(f"{name} must be [n, m] = {shape}, not {tuple(tensor.shape)}")
        if observed.dtype != torch.bool:
            raise ValueError(f"observed must be bool, not {observed.dtype}")
        if not torch.isfinite(z).all() or not torch.isfinite(y[observed]).all():
            raise ValueError("z and the observed entries of y must be finite")


def build(params: Params, context: SurrogateContext) -> ExactGP:
    """The surrogate for `context.outcomes`, fitted on `context.device`."""
    return ExactGP(params, context)


def _bounds(z: Tensor) -> Tensor:
    """Normalisation bounds `[2, d]` over all rows, so every outcome's length scales speak of the same cube.

    A direction in which the rows hardly differ keeps at least a quarter of the median range: a latent the
    decoder ignores would otherwise be blown up until any new point looks far from everything. Too few rows
    give unit half-widths.
    """
    if len(z) == 0:
        return torch.tensor([[-1.0], [1.0]], dtype=z.dtype, device=z.device).expand(2, z.shape[1]).clone()
    low, high = z.amin(0), z.amax(0)
    width = high - low
    typical = width.median()
    wanted = width.clamp_min(0.25 * typical) if typical > 1e-6 else torch.full_like(width, 2.0)
    middle = (low + high) / 2
    half = torch.where(width >= wanted, width, wanted) / 2
    return torch.stack([middle - half, middle + half])


def _fit_outcome(
    z: Tensor, y: Tensor, noise: Tensor | None, bounds: Tensor, params: Params
) -> tuple[SingleTaskGP, dict[str, Any]]:
    """Fit one outcome, z `[n, d]`, y `[n, 1]`; the model and its JSON-able report entry."""
    caught: list[str] = []
    for recipe in _recipes(y, params, caught):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            try:
                if recipe.fallback in ("prior", "fixed"):
                    model = _fixed_model(z, y, noise, bounds, recipe.kernel)
                else:
                    model = _fitted_model(z, y, noise, bounds, recipe, params.max_steps)
                scores = _leave_one_out(model) if len(y) > 1 else None
            except FIT_ERRORS as error:
                caught.append(f"{recipe.kernel}: {type(error).__name__}: {str(error).splitlines()[0][:200]}")
                continue
        notes = sorted({str(item.message).splitlines()[0][:200] for item in seen})
        return model, _entry(model, recipe, scores, z, notes)
    raise AssertionError("fixed hyperparameters with a noise floor always give a positive definite covariance")


def _recipes(y: Tensor, params: Params, caught: list[str]) -> Iterator[_Recipe]:
    """What to try, in order. `caught` fills with the errors of what was tried."""
    floor = MIN_INFERRED_NOISE_LEVEL
    if len(y) == 0:
        yield _Recipe(params.kernel, floor, "prior", "no observation")
        return
    spread, size = float(y.max() - y.min()), float(y.abs().max())
    if spread <= 1e-9 * max(size, 1e-6):
        yield _Recipe(params.kernel, floor, "fixed", "one observation" if len(y) == 1 else "constant outcome")
        return
    yield _Recipe(params.kernel, floor)
    raised = _Recipe(params.kernel, RAISED_NOISE_FLOOR, "noise_floor")
    yield replace(raised, why="; ".join(caught))
    if params.kernel != "matern52":
        yield replace(raised, kernel="matern52", fallback="matern52", why="; ".join(caught))
    yield replace(raised, fallback="fixed", why="; ".join(caught))


def _kernel(kernel: Kernel, d: int) -> Any:
    return get_covar_module_with_dim_scaled_prior(ard_num_dims=d, use_rbf_kernel=kernel == "rbf")


def _fitted_model(
    z: Tensor, y: Tensor, noise: Tensor | None, bounds: Tensor, recipe: _Recipe, max_steps: int
) -> SingleTaskGP:
    likelihood: GaussianLikelihood | None = None
    if noise is not None and noise.isnan().any():
        plain = _fitted_model(z, y, None, bounds, recipe, max_steps)
        noise = torch.where(noise.isnan(), plain.likelihood.noise.detach() * y.var(), noise)
    if noise is None:
        likelihood = get_gaussian_likelihood_with_lognormal_prior()
        constraint = GreaterThan(
            recipe.noise_floor, transform=None, initial_value=max(recipe.noise_floor, likelihood.noise.item())
        )
        likelihood.noise_covar.register_constraint("raw_noise", constraint)
    else:
        noise = noise.clamp_min(recipe.noise_floor * float(y.var()))
    model = SingleTaskGP(
        z,
        y,
        train_Yvar=noise,
        likelihood=likelihood,
        covar_module=_kernel(recipe.kernel, z.shape[1]),
        outcome_transform=Standardize(m=1, min_stdv=1e-12),
        input_transform=Normalize(d=z.shape[1], bounds=bounds),
    )
    with manual_seed(0):  # a retry samples its starting point from the priors
        fit_gpytorch_mll(
            ExactMarginalLogLikelihood(model.likelihood, model),
            optimizer_kwargs={"options": {"maxiter": max_steps}},
            max_attempts=3,
        )
    return model


def _fixed_model(z: Tensor, y: Tensor, noise: Tensor | None, bounds: Tensor, kernel: Kernel) -> SingleTaskGP:
    """A GP whose hyperparameters stay at the modes of their priors.

    Equal observations tell no scale, so the prior variance is that of n zero deviations and one
    pseudo-observation off by the mean's own size (by 1 where the mean is 0): s^2 = size^2 / (n + 1). Without
    any observation the posterior is this prior with mean 0 and s = 1.
    """
    n = len(y)
    if n == 0:
        mean, variance = 0.0, 1.0
        z, y = bounds.mean(0, keepdim=True), bounds.new_zeros(1, 1)
        noise = bounds.new_full((1, 1), UNINFORMATIVE_VARIANCE)
    else:
        mean = float(y.mean())
        spread = float(y.var()) if n > 1 else 0.0
        variance = spread if spread > (1e-9 * max(abs(mean), 1e-6)) ** 2 else (abs(mean) or 1.0) ** 2 / (n + 1)
        floor = RAISED_NOISE_FLOOR * variance
        noise = torch.full_like(y, floor) if noise is None else noise.nan_to_num(floor).clamp_min(floor)
    covariance = ScaleKernel(_kernel(kernel, z.shape[1]))
    covariance.outputscale = variance
    constant = ConstantMean()
    constant.initialize(constant=mean)
    return SingleTaskGP(
        z,
        y,
        train_Yvar=noise,
        covar_module=covariance,
        mean_module=constant,
        outcome_transform=None,
        input_transform=Normalize(d=z.shape[1], bounds=bounds),
    )


def _leave_one_out(model: SingleTaskGP) -> LeaveOneOut:
    """Leave-one-out predictions in units of the outcome's standard deviation."""
    model.train()  # train_inputs are then the raw rows, whatever mode the fit left behind
    with torch.no_grad():
        z = model.input_transform(model.train_inputs[0])
        noise = model.likelihood.noise.expand(len(z))
        covariance = model.covar_module(z).to_dense() + noise.diag()
        scale = getattr(model.covar_module, "outputscale", torch.ones((), dtype=z.dtype, device=z.device))
        centred = model.train_targets - model.mean_module(z)
        result = leave_one_out(covariance / scale, centred / scale.sqrt())
    if not torch.isfinite(result.residual).all() or not torch.isfinite(result.variance).all():
        raise RuntimeError("leave-one-out predictions are not finite")
    return result


def _entry(
    model: SingleTaskGP, recipe: _Recipe, scores: LeaveOneOut | None, z: Tensor, notes: list[str]
) -> dict[str, Any]:
    """What the ledger keeps of one outcome's fit. Length scales are in edges of the normalised cube."""
    kernel = getattr(model.covar_module, "base_kernel", model.covar_module)
    scales = kernel.lengthscale.detach().flatten()
    standardised = getattr(model, "outcome_transform", None)
    unit = 1.0 if standardised is None else float(standardised.stdvs)
    noise = float(model.likelihood.noise.detach().median())
    return {
        "kernel": recipe.kernel,
        "observed": len(z),
        "duplicated_rows": len(z) - len(torch.unique(z, dim=0)),
        "fallback": recipe.fallback,
        "why": recipe.why,
        "lengthscale": {
            "min": float(scales.min()),
            "median": float(scales.median()),
            "max": float(scales.max()),
        },
        "noise_sd": unit * noise**0.5 if len(z) else None,  # in the outcome's unit
        "loo_log_score": None if scores is None else scores.log_score,  # nats per row, outcome standardised
        "loo_coverage_50": None if scores is None else scores.coverage(0.5),
        "loo_coverage_90": None if scores is None else scores.coverage(0.9),
        "warnings": notes,
    }
