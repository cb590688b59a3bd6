"""Log noisy expected improvement over a pool of screened latents, in batches, under constraints and with
pending points.

One goal: the noisy expected improvement (Letham, Karrer, Ottoni & Bakshy, "Constrained Bayesian Optimization with
Noisy Experiments", Bayesian Analysis 14, 2019). Two: the expected hypervolume improvement (Daulton, Balandat & Bakshy,
NeurIPS 2021). Both in logarithms that do not vanish, with BoTorch's smoothing: Ament, Daulton, Eriksson, Balandat &
Bakshy, "Unexpected Improvements to Expected Improvement for Bayesian Optimization", NeurIPS 2023; targets are a
composite objective (Astudillo & Frazier, ICML 2019). Improvement means nothing while no measured point is feasible:
then the batch maximises the probability that one of it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

import torch
from botorch.acquisition.logei import TAU_RELU
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.multi_objective.utils import prune_inferior_points_multi_objective
from botorch.acquisition.objective import GenericMCObjective
from botorch.acquisition.utils import get_infeasible_cost, prune_inferior_points
from botorch.posteriors import GPyTorchPosterior
from botorch.utils.objective import compute_smoothed_feasibility_indicator
from botorch.utils.safe_math import fatplus, log1mexp, log_fatplus, logmeanexp
from botorch.utils.sampling import manual_seed
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from optimizer.numerical_notices import expected_notices
from optimizer.objective import CampaignObjective
from optimizer.pareto import reference_point
from optimizer.pool_posterior import PoolPosterior
from optimizer.protocols import ProposalContext
from optimizer.staircase import Staircase
from surrogates.protocols import FittedSurrogate

log = logging.getLogger(__name__)
ETA = 1e-3  # temperature of the smoothed constraints, BoTorch's
LEAST_GAIN = 1e-12  # relative, in the probability of feasibility: for its logarithm


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


class Criterion(Protocol):
    """What a batch is chosen by; its state is what the anchors' samples imply."""

    def scores(self, samples: Tensor) -> Tensor:
        """Logarithm of what each row adds to the anchors, `[k]`, from its samples `[s, k, m]`."""
        ...

    def add(self, samples: Tensor) -> None:
        """More anchors, by their samples `[s, n, m]`."""
        ...


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

    def _judge(
        self, fitted: FittedSurrogate, objective: CampaignObjective, context: ProposalContext
    ) -> tuple[Tensor, Any]:
        """Measured rows that improvement is judged against, `[b, d]`, and the kind of criterion, to be made anew."""
        measured = _on(context, context.observed_z)
        means = self._means(fitted, objective, measured)
        feasible = _feasible(objective, means)
        constraints = objective.constraint_callables()
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


class LogImprovement:
    """Log of the expected improvement of one goal over the best feasible anchor of each sample."""

    def __init__(self, objective: GenericMCObjective, constraints: list[Any], lowest: Tensor) -> None:
        self.objective, self.constraints, self.lowest = objective, constraints, lowest
        self.best: Tensor | None = None  # [s]

    def add(self, samples: Tensor) -> None:
        values = self.objective(samples)
        values = torch.where(_inside(self.constraints, samples), values, self.lowest)
        best = self.lowest.expand(len(values)) if self.best is None else self.best
        self.best = torch.cat([best[:, None], values], dim=1).amax(1)

    def scores(self, samples: Tensor) -> Tensor:
        assert self.best is not None
        gain = log_fatplus(self.objective(samples) - self.best[:, None], tau=TAU_RELU)
        return logmeanexp(gain + _log_inside(self.constraints, samples), dim=0)


class LogHypervolumeImprovement:
    """Log of the expected gain in the area that feasible anchors have above `reference [2]` in each sample."""

    def __init__(self, objective: GenericMCMultiOutputObjective, constraints: list[Any], reference: Tensor) -> None:
        self.objective, self.constraints, self.reference = objective, constraints, reference
        self.values: Tensor | None = None  # [s, n, 2]
        self.stairs: Staircase | None = None

    def add(self, samples: Tensor) -> None:
        inside = _inside(self.constraints, samples)[..., None]
        values = torch.where(inside, self.objective(samples), self.reference)
        self.values = values if self.values is None else torch.cat([self.values, values], dim=1)
        self.stairs = Staircase(self.values, self.reference)

    def scores(self, samples: Tensor) -> Tensor:
        assert self.stairs is not None
        y = self.objective(samples)
        # no gradient is asked for: smoothed is only how far behind the front a dominated sample lies
        tail = fatplus(self.stairs.behind(y).clamp_max(0), tau=TAU_RELU) ** 2
        gain = (self.stairs.gain(y) + tail).log()
        return logmeanexp(gain + _log_inside(self.constraints, samples), dim=0)


class LogFeasibility:
    """Log of what the row adds to the probability that anything is feasible."""

    def __init__(self, constraints: list[Any]) -> None:
        self.constraints = constraints
        self.best: Tensor | None = None  # [s], log of the smoothed indicator that something is

    def add(self, samples: Tensor) -> None:
        likely = _log_inside(self.constraints, samples)
        before = likely.new_full((len(likely),), -torch.inf) if self.best is None else self.best
        self.best = torch.cat([before[:, None], likely], dim=1).amax(1)

    def scores(self, samples: Tensor) -> Tensor:
        assert self.best is not None
        likely = _log_inside(self.constraints, samples)
        behind = (self.best[:, None] - likely).clamp_max(-LEAST_GAIN)
        gain = torch.where(likely > self.best[:, None], likely + log1mexp(behind), -torch.inf)
        return logmeanexp(gain, dim=0)


def _first(utility: Callable[[Tensor], Tensor], samples: Tensor, X: Tensor | None = None) -> Tensor:
    return utility(samples)[..., 0]


def _on(context: ProposalContext, z: Tensor) -> Tensor:
    return z.to(device=context.device, dtype=torch.float64)


def _inside(constraints: list[Any], samples: Tensor) -> Tensor:
    """Which samples `[s, n, m]` break no constraint, bool `[s, n]`."""
    return torch.stack([constraint(samples) <= 0 for constraint in constraints]).all(0)


def _log_inside(constraints: list[Any], samples: Tensor) -> Tensor:
    """The same, smoothed: logarithms `[s, n]`."""
    return compute_smoothed_feasibility_indicator(constraints, samples, eta=ETA, log=True, fat=True)


def _feasible(objective: CampaignObjective, means: Tensor) -> Tensor:
    """Those of the outcomes `[k, m]` that break no constraint."""
    return means[_inside(objective.constraint_callables(), means)]


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
