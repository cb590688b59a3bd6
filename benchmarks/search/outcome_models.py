"""Gaussian processes of the rivals: one per property and one for success, on whatever inputs the arm describes
crystals by.

Plain BoTorch, apart from the product's surrogates. To keep rounds affordable at hundreds of rows, hyperparameters are
fitted on at most `FIT_ROWS` rows drawn at random; the posterior is that of all rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from botorch.exceptions import ModelFittingError
from botorch.fit import fit_gpytorch_mll
from botorch.models import ModelListGP, SingleTaskGP
from botorch.models.transforms import Normalize, Standardize
from botorch.utils.sampling import manual_seed
from gpytorch.constraints import Interval
from gpytorch.kernels import MaternKernel, ScaleKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.means import ConstantMean
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import Tensor

from benchmarks.search.numerics import quiet_numerics
from optimizer.objective import CampaignObjective, Values

FIT_ROWS = 256
STEPS = 40  # L-BFGS-B iterations per outcome
CONSTANT = 1e-6  # variance of the process of an outcome that never differed
Kind = Literal["default", "tutorial"]


@dataclass(frozen=True)
class Outcomes:
    """The fitted processes in the order of `CampaignObjective.outcomes`, and the campaign's goals on their samples.

    Two goals become one by the augmented Chebyshev function with random weights (ParEGO; Knowles, IEEE Trans. Evol.
    Comput. 10, 50, 2006); `spread` and `offset` bring goals to a common scale, `[k]` each.
    """

    model: ModelListGP
    objective: CampaignObjective
    weights: Tensor
    offset: Tensor
    spread: Tensor
    best: float | None  # of the scalar utility among what is feasible

    @property
    def models(self) -> list[Any]:
        """One process per outcome."""
        return list(self.model.models)

    def utility(self, samples: Tensor, X: Tensor | None = None) -> Tensor:
        """Outcome samples `[..., m]` -> one number, `[...]`, higher is better."""
        goals = (self.objective.utility(samples) - self.offset) / self.spread
        if goals.shape[-1] == 1:
            return goals[..., 0]
        weighted = goals * self.weights
        return weighted.amin(-1) + 0.05 * weighted.sum(-1)

    def violation(self, samples: Tensor) -> Tensor:
        """Sum of the relative overshoots of samples `[..., m]`; 0 where feasible."""
        return sum(
            (each(samples).clamp_min(0) for each in self.objective.constraint_callables()),
            start=torch.zeros(samples.shape[:-1], dtype=samples.dtype),
        )

    def log_improvement(self, x: Tensor, draws: Tensor) -> Tensor:
        """Log of the probability that each row of `x [n, p]` is feasible and better than the best, `[n]`.

        `draws [s, m]` are standard normal; steps are smoothed by a hundredth of the scale, so that zeros differ.
        """
        with torch.no_grad():  # in parts: no covariance between rows is needed
            posteriors: list[Any] = [self.model.posterior(rows) for rows in x.split(256)]
            mean = torch.cat([posterior.mean for posterior in posteriors])
            samples = mean + torch.cat([posterior.variance for posterior in posteriors]).sqrt() * draws[:, None, :]
        terms = torch.zeros(samples.shape[:-1], dtype=samples.dtype)
        for constraint in self.objective.constraint_callables():
            terms = terms + torch.nn.functional.logsigmoid(-constraint(samples) / 0.01)
        if self.best is not None:
            terms = terms + torch.nn.functional.logsigmoid((self.utility(samples) - self.best) / 0.01)
        return torch.logsumexp(terms, 0) - math.log(len(draws))


def fit_outcomes(
    x: Tensor, values: Sequence[Values], objective: CampaignObjective, *, seed: int, kind: Kind = "default"
) -> Outcomes:
    """x `[n, p]`, n at least 1.

    `default` is SingleTaskGP with its priors; `tutorial` the Matérn-5/2 with bounded length scales of BoTorch's TuRBO
    tutorial, for which x lies in the unit cube.
    """
    y, observed = objective.table(values)
    rng = np.random.default_rng(seed)
    low, high = x.amin(0), x.amax(0)
    bounds = torch.stack([low, torch.where(high - low > 1e-9, high, low + 1)]) if kind == "default" else None
    models = [_fitted(x[observed[:, j]], y[observed[:, j], j, None], bounds, kind, rng) for j in range(y.shape[1])]
    goals = objective.utility(y)[observed.all(1)]
    offset = goals.mean(0) if len(goals) else torch.zeros(len(objective.goals), dtype=x.dtype)
    spread = goals.std(0) if len(goals) > 1 else torch.ones_like(offset)
    spread = torch.where(spread > 1e-9, spread, torch.ones_like(spread))
    weights = torch.from_numpy(rng.dirichlet(np.ones(len(objective.goals))))
    found = Outcomes(ModelListGP(*models), objective, weights, offset, spread, None)
    feasible = [i for i, v in enumerate(values) if objective.feasible(v)]
    if not feasible:
        return found
    best = float(found.utility(y[feasible]).max())
    return Outcomes(found.model, objective, weights, offset, spread, best)


def _fitted(x: Tensor, y: Tensor, bounds: Tensor | None, kind: Kind, rng: np.random.Generator) -> SingleTaskGP:
    if len(y) < 2 or float(y.max() - y.min()) < 1e-9:
        return _constant(x, y)
    rows = torch.from_numpy(rng.permutation(len(y))[:FIT_ROWS].copy())
    standard = Standardize(m=1)
    scaled = standard(y)[0]
    small = _model(x[rows], scaled[rows], bounds, kind)
    with quiet_numerics(), manual_seed(0):
        try:
            mll = ExactMarginalLogLikelihood(small.likelihood, small)
            fit_gpytorch_mll(mll, optimizer_kwargs={"options": {"maxiter": STEPS}}, max_attempts=1)
        except (ModelFittingError, RuntimeError):  # the prior's hyperparameters are then as good as any
            small = _model(x[rows], scaled[rows], bounds, kind)
    whole = _model(x, y, bounds, kind, Standardize(m=1))
    state = {k: v for k, v in small.state_dict().items() if not k.startswith("input_transform")}
    whole.load_state_dict({**whole.state_dict(), **state})
    return whole.eval().requires_grad_(False)


def _model(
    x: Tensor, y: Tensor, bounds: Tensor | None, kind: Kind, transform: Standardize | None = None
) -> SingleTaskGP:
    if kind == "default":
        normalise = Normalize(d=x.shape[1], bounds=bounds)
        return SingleTaskGP(x, y, input_transform=normalise, outcome_transform=transform)
    kernel = ScaleKernel(MaternKernel(nu=2.5, ard_num_dims=x.shape[1], lengthscale_constraint=Interval(0.005, 4.0)))
    likelihood = GaussianLikelihood(noise_constraint=Interval(1e-8, 1e-3))
    return SingleTaskGP(x, y, covar_module=kernel, likelihood=likelihood, outcome_transform=transform)


def _constant(x: Tensor, y: Tensor) -> SingleTaskGP:
    """An outcome that never differed: its value everywhere. One row says as much as all, and is asked in no time."""
    x, y = x[:1], y[:1]
    if not len(y):
        x, y = torch.zeros(1, x.shape[1], dtype=x.dtype), torch.zeros(1, 1, dtype=x.dtype)
    covariance = ScaleKernel(MaternKernel(nu=2.5))
    covariance.outputscale = CONSTANT
    mean = ConstantMean()
    mean.initialize(constant=float(y[0]))
    noise = torch.full_like(y, CONSTANT)
    model = SingleTaskGP(x, y, noise, covar_module=covariance, mean_module=mean, outcome_transform=None)
    return model.eval().requires_grad_(False)
