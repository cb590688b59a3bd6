"""Thompson sampling over the pool: each place of the batch goes to the best crystal of one draw of the posterior.

Every draw is a whole plausible world, so a batch of any size is diverse without conditioning each place on those before
it (Kandasamy, Krishnamurthy, Schneider & Póczos, "Parallelised Bayesian Optimisation via Thompson Sampling", AISTATS
2018). Bounds as in constrained Thompson sampling (Eriksson & Poloczek, "Scalable Constrained Bayesian Optimization",
AISTATS 2021): of the crystals feasible in the draw the best, where there is none the least violating. With two goals
each draw weighs them anew (Paria, Kandasamy & Póczos, UAI 2019).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from botorch.posteriors import GPyTorchPosterior
from botorch.utils.sampling import manual_seed
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from optimizer.numerical_notices import expected_notices
from optimizer.objective import CampaignObjective
from optimizer.protocols import ProposalContext
from surrogates.protocols import FittedSurrogate


class Params(BaseModel):
    """Parameters of `kind: thompson`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    max_pool: int = Field(
        2000, ge=1, description="Most crystals of the pool that draws are made over, taken at random."
    )


class Thompson:
    """One draw a place, no crystal twice, what is pending last."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def propose(
        self,
        fitted: FittedSurrogate,
        objective: CampaignObjective,
        context: ProposalContext,
        *,
        q: int,
        seed: int,
    ) -> Tensor:
        """Up to q different indices into `context.pool`, int64 `[q]`, in the order of the draws."""
        if len(context.pool) == 0 or q < 1:
            return torch.empty(0, dtype=torch.long)
        repeated = context.already_pending
        rows = torch.cat([torch.nonzero(~repeated)[:, 0], torch.nonzero(repeated)[:, 0]])
        generator = torch.Generator().manual_seed(seed)
        rows = self._drawn_over(rows, int((~repeated).sum()), q, generator)
        weights = torch.rand(q, len(objective.goals), generator=generator, dtype=torch.float64)
        with torch.no_grad(), manual_seed(seed), expected_notices():
            pool = context.pool[rows].to(device=context.device, dtype=torch.float64)
            posterior = cast(GPyTorchPosterior, fitted.model.posterior(pool))
            draws = posterior.rsample(torch.Size([q])).cpu()  # [q, n, m]
        free, chosen = torch.ones(len(rows), dtype=torch.bool), []
        for draw, weight in zip(draws, weights, strict=True):
            for pending in (False, True):
                open_rows = free & (repeated[rows] == pending)
                if open_rows.any():
                    chosen.append(_best(draw, weight, objective, open_rows))
                    free[chosen[-1]] = False
                    break
        return rows[torch.tensor(chosen, dtype=torch.long)]

    def _drawn_over(self, rows: Tensor, fresh: int, q: int, generator: torch.Generator) -> Tensor:
        """At most `max_pool` of the rows, drawn from the first `fresh` of them, which are not pending, as long as these
        last: the pool has an order, what was made last stands behind."""
        most = max(self.params.max_pool, q)
        if len(rows) <= most:
            return rows
        order = torch.cat([torch.randperm(fresh, generator=generator), torch.arange(fresh, len(rows))])
        return rows[order[:most].sort().values]


def build(params: Params, context: Any = None) -> Thompson:
    """The acquisition; device and data come with each proposal's context."""
    return Thompson(params)


def _best(draw: Tensor, weight: Tensor, objective: CampaignObjective, free: Tensor) -> int:
    """The place of one draw `[n, m]`, among the free."""
    overshoot = torch.stack([bound(draw).clamp_min(0) for bound in objective.constraint_callables()], dim=-1).sum(-1)
    feasible = free & (overshoot <= 0)
    if not feasible.any():
        return int(torch.where(free, overshoot, torch.inf).argmin())
    utility = objective.utility(draw)
    low, high = utility[feasible].amin(0), utility[feasible].amax(0)
    scaled = (utility - low) / (high - low).clamp_min(1e-9)
    # the weighted worst goal finds every part of a front, hollows included, where a weighted sum does not
    score = (scaled / weight.clamp_min(1e-6)).amin(-1) if utility.shape[-1] > 1 else scaled[:, 0]
    return int(torch.where(feasible, score, -torch.inf).argmax())
