"""Gaussian processes of one outcome: fitted, with hyperparameters that are known, or fixed at the priors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from botorch.exceptions import ModelFittingError
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms import Normalize, Standardize
from botorch.models.utils.gpytorch_modules import get_gaussian_likelihood_with_lognormal_prior
from botorch.utils.sampling import manual_seed
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import ScaleKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.means import ConstantMean, Mean
from gpytorch.mlls import ExactMarginalLogLikelihood
from linear_operator.utils.errors import NotPSDError
from torch import Tensor

from surrogates.kernels import covariance
from surrogates.means import PredictedMean
from surrogates.protocols import Block

RAISED_NOISE_FLOOR = 1e-2  # share of the outcome's variance; the usual floor is 1e-4
UNINFORMATIVE_VARIANCE = 1e6  # relative to the prior's: a row with this noise leaves the prior as it was
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
        near the best. Where these are all alike and others are not, as where few of many failed, the furthest of those
        stand for two of them: from equal outcomes nothing can be fitted."""
        if len(self) <= at_most:
            return self
        chosen = torch.linspace(0, len(self) - 1, at_most, device=self.z.device).round().long()
        if told_apart(self.y) and not told_apart(self.y[chosen]):
            chosen[:2] = torch.cat([self.y.argmin()[None], self.y.argmax()[None]])
            chosen = chosen.unique()
        return self.at(chosen)


def told_apart(y: Tensor) -> bool:
    """Whether outcomes `[n, 1]` differ by more than rounding."""
    return len(y) > 1 and float(y.max() - y.min()) > 1e-9 * max(float(y.abs().max()), 1e-6)


def _model(rows: Rows, kernel: str, noise_floor: float) -> SingleTaskGP:
    """Not fitted yet."""
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


def fitted_model(rows: Rows, kernel: str, noise_floor: float, max_steps: int) -> SingleTaskGP:
    """Hyperparameters by marginal likelihood and priors, in so many steps. Raises FIT_ERRORS."""
    model = _model(rows, kernel, noise_floor)
    with manual_seed(0):  # a retry samples its starting point from the priors
        fit_gpytorch_mll(
            ExactMarginalLogLikelihood(model.likelihood, model),
            optimizer_kwargs={"options": {"maxiter": max_steps}},
            max_attempts=3,
        )
    return model


def values_of(model: SingleTaskGP) -> dict[str, Any]:
    """Parameter name -> nested lists."""
    return {name: parameter.detach().tolist() for name, parameter in model.named_parameters()}


def conditioned(rows: Rows, kernel: str, values: Mapping[str, Any], noise_floor: float) -> SingleTaskGP:
    """All rows under hyperparameters that are known, as `values_of` gives them."""
    model = _model(rows, kernel, noise_floor)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in values:  # stated noise may have come or gone since
                parameter.copy_(torch.tensor(values[name], dtype=parameter.dtype, device=parameter.device))
    return model


def fixed_model(rows: Rows, kernel: str) -> SingleTaskGP:
    """A GP whose hyperparameters stay at the modes of their priors, for outcomes that tell no scale.

    With a guess the mean is that plus the guess's mean error, drawn towards 0 by one pseudo-observation; the prior
    variance is that of the errors, and no less than that of guesses spread evenly over their range.
    """
    n, z, y, noise = len(rows), rows.z, rows.y, rows.noise
    if rows.predicted is None:
        mean, variance = _fixed_constant(y)
    else:
        low, high = (float(end) for end in rows.bounds[:, rows.predicted])
        errors = y[:, 0] - z[:, rows.predicted]
        mean = PredictedMean(rows.predicted, high - low)
        mean.initialize(constant=(low + high) / 2 + float(errors.sum()) / (n + 1))
        variance = max((high - low) ** 2 / 12, float(errors.var()) if n > 1 else 0.0)
    if n == 0:
        z, y = rows.bounds.mean(0, keepdim=True), rows.bounds.new_zeros(1, 1)
        noise = rows.bounds.new_full((1, 1), UNINFORMATIVE_VARIANCE * variance)
    else:
        floor = RAISED_NOISE_FLOOR * variance
        noise = torch.full_like(y, floor) if noise is None else noise.nan_to_num(floor).clamp_min(floor)
    shape = ScaleKernel(covariance(kernel, rows.blocks))
    shape.outputscale = variance
    return SingleTaskGP(
        z,
        y,
        train_Yvar=noise,
        covar_module=shape,
        mean_module=mean,
        outcome_transform=None,
        input_transform=Normalize(d=z.shape[1], bounds=rows.bounds),
    )


def _fixed_constant(y: Tensor) -> tuple[Mean, float]:
    """Mean and prior variance from outcomes `[n, 1]` alone.

    Equal observations tell no scale, so the variance is that of n zero deviations and one pseudo-observation off by the
    mean's own size (by 1 where the mean is 0): s^2 = size^2 / (n + 1). Without any observation the mean is 0 and s = 1.
    """
    n, constant = len(y), ConstantMean()
    middle = float(y.mean()) if n else 0.0
    spread = float(y.var()) if n > 1 else 0.0
    constant.initialize(constant=middle)
    if n and spread > (1e-9 * max(abs(middle), 1e-6)) ** 2:
        return constant, spread
    return constant, (abs(middle) or 1.0) ** 2 / (n + 1)
