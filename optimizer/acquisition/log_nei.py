"""Log noisy expected improvement over a pool of screened latents, in batches, under constraints and with
pending points.

One goal: the noisy expected improvement (Letham, Karrer, Ottoni & Bakshy, "Constrained Bayesian Optimization with
Noisy Experiments", Bayesian Analysis 14, 2019). Two: the expected hypervolume improvement (Daulton, Balandat & Bakshy,
NeurIPS 2021); targets are a composite objective (Astudillo & Frazier, ICML 2019). Improvement means nothing while no
measured point is feasible: then the batch maximises the probability that one of it is (`optimizer.criteria`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.multi_objective.utils import prune_inferior_points_multi_objective
from botorch.acquisition.objective import GenericMCObjective
from botorch.acquisition.utils import get_infeasible_cost, prune_inferior_points
from botorch.posteriors import GPyTorchPosterior
from botorch.utils.sampling import draw_sobol_normal_samples, manual_seed
from linear_operator.utils.cholesky import psd_safe_cholesky
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from optimizer.criteria import Criterion, LogFeasibility, LogHypervolumeImprovement, LogImprovement, feasible
from optimizer.numerical_notices import expected_notices
from optimizer.objective import CampaignObjective
from optimizer.pareto import reference_point
from optimizer.pool_posterior import PoolPosterior, joint
from optimizer.protocols import ProposalContext
from surrogates.protocols import FittedSurrogate

log = logging.getLogger(__name__)
GRADIENT_SAMPLES = 64  # where a gradient is followed: its direction needs fewer than a choice


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
    chunk: int = Field(1024, ge=1, description="Pool rows predicted at once; bounds the memory.")


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
        chosen point hardly ever lifts a poor one, and it is what keeps a pool of thousands within seconds. Rows that
        are pending come last: where no improvement is in sight, the smoothed improvement can score a second sample of
        the best of them above all others.
        """
        if len(context.pool) == 0 or q < 1:
            return torch.empty(0, dtype=torch.long)
        pool, pending = _on(context, context.pool), _on(context, context.pending)
        repeated = context.already_pending.to(pool.device)
        chosen: list[int] = []
        # BoTorch draws a few numbers from the global generator (pruning, bound on infeasible values)
        with manual_seed(seed), torch.no_grad(), expected_notices():
            baseline, criterion = self._judge(fitted, objective, context)
            for rows in (torch.nonzero(~repeated)[:, 0], torch.nonzero(repeated)[:, 0]):
                if len(rows) and len(chosen) < q:
                    anchors = torch.cat([baseline, pending, pool[chosen]])
                    places = self._greedy(fitted, criterion, anchors, pool[rows], q - len(chosen), seed)
                    chosen += rows[places].tolist()
        return torch.tensor(chosen, dtype=torch.long)

    def gain(
        self, fitted: FittedSurrogate, objective: CampaignObjective, context: ProposalContext, *, q: int, seed: int
    ) -> Callable[[Tensor], Tensor]:
        """See `DifferentiableAcquisition`."""
        with manual_seed(seed), torch.no_grad(), expected_notices():
            baseline, made = self._judge(fitted, objective, context)
        anchors = torch.cat([baseline, _on(context, context.pending)])
        a, m = len(anchors), len(objective.outcomes)
        base = draw_sobol_normal_samples((a + q) * m, GRADIENT_SAMPLES, device=anchors.device, seed=seed)
        base = base.to(anchors).reshape(GRADIENT_SAMPLES, m, a + q).movedim(1, 0)

        def of(rows: Tensor) -> Tensor:
            with expected_notices():
                mean, covariance = joint(fitted.model, torch.cat([anchors, rows]))
                samples = (mean[:, None] + base @ psd_safe_cholesky(covariance).mT).movedim(0, -1)
            return torch.cat([self._beside_others(made(), samples, place) for place in range(a, a + q)])

        return of

    def _beside_others(self, criterion: Criterion, samples: Tensor, place: int) -> Tensor:
        """What one of the rows with `samples [s, n, m]` adds to the others, `[1]`; no gradient reaches these."""
        criterion.add(torch.cat([samples[:, :place], samples[:, place + 1 :]], dim=1).detach())
        return criterion.scores(samples[:, place, None])

    def _judge(
        self, fitted: FittedSurrogate, objective: CampaignObjective, context: ProposalContext
    ) -> tuple[Tensor, Any]:
        """Measured rows that improvement is judged against, `[b, d]`, and the kind of criterion, to be made anew."""
        measured = _on(context, context.observed_z)
        means = self._means(fitted, objective, measured)
        feasible = _feasible(objective, means)
        constraints = objective.constraint_callables(seen=means)
        if not len(feasible):
            log.info("acquisition function: log_feasibility")
            return measured[:0], lambda: LogFeasibility(constraints)
        utilities = objective.utility(feasible)
        scale = _spread(utilities)
        pruned: dict[str, Any] = {"constraints": constraints, "num_samples": self.params.num_samples}

        def utility(samples: Tensor, X: Tensor | None = None) -> Tensor:
            return objective.utility(samples) / scale

        leading = measured[_leading(objective, means, self.params.baseline)]
        if len(objective.goals) == 1:
            log.info("acquisition function: log_nei")
            single = GenericMCObjective(partial(_first, utility))
            baseline = prune_inferior_points(fitted.model, leading, single, **pruned)
            lowest = -get_infeasible_cost(leading, fitted.model, single)
            return baseline, lambda: LogImprovement(single, constraints, lowest)
        log.info("acquisition function: log_nehvi")
        reference = torch.tensor(reference_point([tuple(row) for row in (utilities / scale).tolist()])).to(utilities)
        several = GenericMCMultiOutputObjective(utility)
        baseline = prune_inferior_points_multi_objective(fitted.model, leading, reference, several, **pruned)
        return baseline, lambda: LogHypervolumeImprovement(several, constraints, reference)

    def _means(self, fitted: FittedSurrogate, objective: CampaignObjective, measured: Tensor) -> Tensor:
        """Posterior means of what was measured, `[k, m]`, in parts: no covariance among them is needed."""
        if not len(measured):
            return torch.empty(0, len(objective.outcomes), dtype=torch.float64)
        parts = measured.split(self.params.chunk)
        return torch.cat([cast(GPyTorchPosterior, fitted.model.posterior(rows)).mean for rows in parts])

    def _greedy(
        self, fitted: FittedSurrogate, made: Any, anchors: Tensor, pool: Tensor, q: int, seed: int
    ) -> list[int]:
        """What optimize_acqf_discrete does for q > 1, but in rows and with a shortlist after the first choice."""
        samples, chunk = self.params.num_samples, self.params.chunk
        posterior = PoolPosterior(
            fitted.model, anchors, pool, num_samples=samples, picks=min(q, len(pool)), seed=seed, chunk=chunk
        )
        criterion: Criterion = made()
        criterion.add(posterior.anchored)
        left = torch.arange(len(pool), device=pool.device)
        chosen: list[int] = []
        while len(left) and len(chosen) < q:
            scores = torch.cat([criterion.scores(part) for part in posterior.samples().split(chunk, dim=1)])
            # a stable sort, so that of equal scores the earlier row wins on every device
            order = scores.nan_to_num(nan=-torch.inf).sort(descending=True, stable=True).indices
            chosen.append(int(left[order[0]]))
            if not chosen[1:]:
                order = order[: max(self.params.shortlist, q)]
                posterior.narrow(order)
                left, order = left[order], torch.arange(len(order), device=pool.device)
            if len(chosen) < q:
                criterion.add(posterior.anchor(int(order[0]))[:, None])
                rest = order[1:].sort().values
                posterior.narrow(rest)
                left = left[rest]
        return chosen


def build(params: Params, context: Any = None) -> LogNEI:
    """The acquisition; device and data come with each proposal's context."""
    return LogNEI(params)


def _first(utility: Callable[[Tensor], Tensor], samples: Tensor, X: Tensor | None = None) -> Tensor:
    return utility(samples)[..., 0]


def _on(context: ProposalContext, z: Tensor) -> Tensor:
    return z.to(device=context.device, dtype=torch.float64)


def _feasible(objective: CampaignObjective, means: Tensor) -> Tensor:
    """Those of the outcomes `[k, m]` that break no constraint."""
    return means[feasible(objective.constraint_callables(), means)]


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
