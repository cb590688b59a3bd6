"""The batch that is expected to hold the most feasible crystals: for a list of all that meet the bounds, not one best.

One-step active search (Garnett, Krishnamurthy, Xiong, Schneider & Mann, "Bayesian Optimal Active Search and Surveying",
ICML 2012): the expected number of finds is the sum of the single probabilities, so the most probable are taken, and the
goal decides only between equals. Outcomes are independent under the surrogate, and bounds are intervals.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from botorch.posteriors import GPyTorchPosterior
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from optimizer.objective import CampaignObjective
from optimizer.protocols import ProposalContext
from surrogates.protocols import FittedSurrogate

CHUNK = 256  # crystals predicted at once


class Params(BaseModel):
    """`kind: discovery` has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Discovery:
    """Most probable first. What is pending comes last."""

    def propose(
        self,
        fitted: FittedSurrogate,
        objective: CampaignObjective,
        context: ProposalContext,
        *,
        q: int,
        seed: int,
    ) -> Tensor:
        """Up to q different indices into `context.pool`, int64 `[q]`, most probable first."""
        if len(context.pool) == 0 or q < 1:
            return torch.empty(0, dtype=torch.long)
        with torch.no_grad():
            place = context.pool.to(device=context.device, dtype=torch.float64)
            # covariances between crystals decide nothing, but a crystal a batch would repeat those of all observations
            posteriors = [cast(GPyTorchPosterior, fitted.model.posterior(rows)) for rows in place.split(CHUNK)]
            mean = torch.cat([posterior.mean.cpu() for posterior in posteriors])
            sd = torch.cat([posterior.variance.sqrt().cpu() for posterior in posteriors])
        scores = log_feasibility(mean, sd, objective)
        scores = scores + 1e-9 * torch.tanh(_standardised(objective.utility(mean)).mean(-1))
        scores[context.already_pending] = -torch.inf
        return scores.sort(descending=True, stable=True).indices[:q]


def build(params: Params, context: Any = None) -> Discovery:
    """The acquisition; it has no state."""
    return Discovery()


def log_feasibility(mean: Tensor, sd: Tensor, objective: CampaignObjective) -> Tensor:
    """Log probability that all bounds are kept and the evaluation succeeds, `[n]`; mean and sd `[n, m]`."""
    names, total = objective.properties, torch.zeros(len(mean), dtype=mean.dtype)
    bounds = [(names.index(name), bound.min, bound.max) for name, bound in objective.bounds]
    for column, low, high in (*bounds, (len(names), 0.5, None)):
        normal = torch.distributions.Normal(mean[:, column], sd[:, column].clamp_min(1e-9))
        below = torch.zeros_like(total) if low is None else normal.cdf(torch.tensor(low, dtype=mean.dtype))
        under = torch.ones_like(total) if high is None else normal.cdf(torch.tensor(high, dtype=mean.dtype))
        # far outside, where both ends are equal to machine precision, the nearer end still tells who is closer
        ends = [(limit - mean[:, column]).abs() / sd[:, column] for limit in (low, high) if limit is not None]
        tail = -0.5 * torch.stack(ends).amin(0).square()
        inside = under - below
        total = total + torch.where(inside > 1e-12, inside.clamp_min(1e-12).log(), tail.clamp_max(-27.0))
    return total


def _standardised(utility: Tensor) -> Tensor:
    spread = utility.std(0) if len(utility) > 1 else torch.zeros(utility.shape[-1], dtype=utility.dtype)
    return (utility - utility.mean(0)) / torch.where(spread > 1e-9, spread, torch.ones_like(spread))
