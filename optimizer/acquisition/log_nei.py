"""Log noisy expected improvement over a pool of screened latents, in batches, under constraints and with
pending points.

One goal: qLogNoisyExpectedImprovement. Two: qLogNoisyExpectedHypervolumeImprovement. Both from Ament,
Daulton, Eriksson, Balandat & Bakshy, "Unexpected Improvements to Expected Improvement for Bayesian
Optimization", NeurIPS 2023; targets are a composite objective (Astudillo & Frazier, ICML 2019). Improvement
means nothing while no measured point is feasible: then the batch maximises qLogProbabilityOfFeasibility.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement, qLogProbabilityOfFeasibility
from botorch.acquisition.multi_objective import logei
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.objective import GenericMCObjective
from botorch.posteriors import GPyTorchPosterior
from botorch.sampling import SobolQMCNormalSampler
from botorch.utils.sampling import manual_seed
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from optimizer.numerical_notices import expected_notices
from optimizer.objective import CampaignObjective
from optimizer.pareto import reference_point
from optimizer.protocols import ProposalContext
from surrogates.protocols import FittedSurrogate

# Else BoTorch 0.18 compiles C++ for this processor at the first use with two goals: half a minute, a compiler needed,
# and last digits that differ from where there is none.
logei._load_attempted = True

log = logging.getLogger(__name__)
Criterion = Literal["log_feasibility", "log_nei", "log_nehvi"]


class Params(BaseModel):
    """Parameters of `kind: log_nei`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    num_samples: int = Field(256, ge=16, le=4096, description="Quasi-Monte-Carlo samples of the posterior.")
    shortlist: int = Field(
        64,
        ge=1,
        description="Pool rows kept for the batch after the first choice, by their score as single points.",
    )
    baseline: int = Field(
        400,
        ge=1,
        description="Measured rows, the best by the posterior's mean, that an improvement is judged against.",
    )
    chunk: int = Field(256, ge=1, description="Pool rows scored at once; bounds the memory.")


@dataclass(frozen=True)
class LogNEI:
    """Greedy batch choice from a pool, each choice conditioned on the ones before it."""

    params: Params

    def propose(
        self,
        fitted: FittedSurrogate,
        objective: CampaignObjective,
        context: ProposalContext,
        *,
        q: int,
        seed: int,
    ) -> Tensor:
        """Up to q different indices into `context.pool`, int64 `[q]`, in the order they were chosen.

        Only the `shortlist` best single points compete for the second and later places: conditioning on a
        chosen point hardly ever lifts a poor one, and it is what keeps a pool of thousands within seconds.
        """
        if len(context.pool) == 0 or q < 1:
            return torch.empty(0, dtype=torch.long)
        # BoTorch draws a few numbers from the global generator (pruning, bound on infeasible values)
        with manual_seed(seed), torch.no_grad(), expected_notices():
            function = self._function(fitted, objective, context, seed)
            return self._greedy(function, context, q)

    def _function(
        self, fitted: FittedSurrogate, objective: CampaignObjective, context: ProposalContext, seed: int
    ) -> Any:
        """The acquisition function, pending points included."""
        sampler = SobolQMCNormalSampler(torch.Size([self.params.num_samples]), seed=seed)
        constraints = objective.constraint_callables()
        pending = _on(context, context.pending) if len(context.pending) else None
        means = self._means(fitted, objective, context)
        feasible = _feasible(objective, means)
        criterion = _criterion(objective, feasible)
        log.info("acquisition function: %s", criterion)
        if criterion == "log_feasibility":
            return qLogProbabilityOfFeasibility(fitted.model, constraints, sampler=sampler, X_pending=pending)
        utilities = objective.utility(feasible)
        scale = _spread(utilities)
        shared: dict[str, Any] = {
            "X_baseline": _on(context, context.observed_z)[_leading(objective, means, self.params.baseline)],
            "sampler": sampler,
            "constraints": constraints,
            "X_pending": pending,
            "prune_baseline": True,
        }

        def scaled(samples: Tensor, X: Tensor | None = None) -> Tensor:
            return objective.utility(samples) / scale

        def first(samples: Tensor, X: Tensor | None = None) -> Tensor:
            return scaled(samples)[..., 0]

        if criterion == "log_nei":
            return qLogNoisyExpectedImprovement(fitted.model, objective=GenericMCObjective(first), **shared)
        points = [tuple(row) for row in (utilities / scale).tolist()]
        several = GenericMCMultiOutputObjective(scaled)
        return qLogNoisyExpectedHypervolumeImprovement(
            fitted.model, list(reference_point(points)), objective=several, **shared
        )

    def _means(self, fitted: FittedSurrogate, objective: CampaignObjective, context: ProposalContext) -> Tensor:
        """Posterior means of what was measured, `[k, m]`, in parts: no covariance among them is needed."""
        parts = _on(context, context.observed_z).split(self.params.chunk)
        if not len(context.observed_z):
            return torch.empty(0, len(objective.outcomes), dtype=torch.float64)
        with torch.no_grad():
            return torch.cat([cast(GPyTorchPosterior, fitted.model.posterior(rows)).mean for rows in parts])

    def _greedy(self, function: Any, context: ProposalContext, q: int) -> Tensor:
        """What optimize_acqf_discrete does for q > 1, but in indices and with a shortlist after the first choice.

        Rows that are pending come last: where no improvement is in sight, the smooth maximum of log EI can score a
        second sample of the best of them above all others.
        """
        pool = _on(context, context.pool)
        pending = _on(context, context.pending)
        repeated = context.already_pending.to(pool.device)
        chosen: list[int] = []
        for left in (torch.nonzero(~repeated)[:, 0], torch.nonzero(repeated)[:, 0]):
            entered = len(chosen)
            while len(chosen) < q and len(left):
                if chosen:
                    function.set_X_pending(torch.cat([pending, pool[chosen]]))
                scores = torch.cat([function(pool[rows].unsqueeze(-2)) for rows in left.split(self.params.chunk)])
                # a stable sort, so that of equal scores the earlier row wins on every device
                order = scores.nan_to_num(nan=-torch.inf).sort(descending=True, stable=True).indices
                keep = order[1 : max(self.params.shortlist, q)] if len(chosen) == entered else order[1:]
                chosen.append(int(left[order[0]]))
                left = left[keep.sort().values]
        return torch.tensor(chosen, dtype=torch.long)


def build(params: Params, context: Any = None) -> LogNEI:
    """The acquisition; device and data come with each proposal's context."""
    return LogNEI(params)


def _on(context: ProposalContext, z: Tensor) -> Tensor:
    return z.to(device=context.device, dtype=torch.float64)


def _feasible(objective: CampaignObjective, means: Tensor) -> Tensor:
    """Those of the outcomes `[k, m]` that break no constraint."""
    overshoot = torch.stack([constraint(means) for constraint in objective.constraint_callables()], dim=-1)
    return means[(overshoot <= 0).all(dim=-1)]


def _criterion(objective: CampaignObjective, feasible: Tensor) -> Criterion:
    """Which acquisition function is called for, where these posterior means are feasible."""
    if not len(feasible):
        return "log_feasibility"
    return "log_nei" if len(objective.goals) == 1 else "log_nehvi"


def _leading(objective: CampaignObjective, means: Tensor, at_most: int) -> Tensor:
    """Rows that may be the best, in the order they were measured: all, or the best by their means."""
    if len(means) <= at_most:
        return torch.arange(len(means), device=means.device)
    names = objective.properties
    values = [dict(zip(names, row, strict=True)) if likely >= 0.5 else None for *row, likely in means.tolist()]
    return torch.tensor(sorted(objective.ranking(values)[:at_most]), device=means.device)


def _spread(utilities: Tensor) -> Tensor:
    """Standard deviation per goal `[k]`, 1 where there is none: BoTorch's smoothing constants expect numbers
    near 1.
    """
    if len(utilities) < 2:
        return torch.ones_like(utilities[0])
    spread = utilities.std(dim=0)
    return torch.where(spread > 1e-9, spread, torch.ones_like(spread))
