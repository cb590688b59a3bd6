"""Every crystal of a long pool may be drawn, wherever it stands."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from botorch.posteriors import GPyTorchPosterior
from gpytorch.distributions import MultitaskMultivariateNormal

from campaigns.goals import Objective
from campaigns.search_space import SearchSpace
from optimizer.acquisition.thompson import Params, build
from optimizer.objective import CampaignObjective
from optimizer.protocols import ProposalContext

OBJECTIVE = CampaignObjective((("density_g_cm3", Objective(goal="maximize")),))


def posterior(z):
    """The value is the only column, almost known; every candidate succeeds."""
    mean = torch.cat([z, torch.ones_like(z)], dim=1)
    return GPyTorchPosterior(MultitaskMultivariateNormal(mean, 1e-8 * torch.eye(2 * len(z), dtype=z.dtype)))


def test_what_stands_last_in_a_long_pool_is_found_and_what_is_pending_comes_last():
    pool = torch.arange(60, dtype=torch.float64)[:, None]
    context = ProposalContext(pool, pool[:0], pool[58:], torch.device("cpu"), SearchSpace())
    fitted = SimpleNamespace(model=SimpleNamespace(posterior=posterior))
    acquisition = build(Params(max_pool=20))
    chosen = [acquisition.propose(fitted, OBJECTIVE, context, q=16, seed=seed).tolist() for seed in range(30)]
    assert all(len(set(rows)) == 16 and max(rows) < 58 for rows in chosen)
    assert set(range(40, 58)) <= {row for rows in chosen for row in rows}
    assert chosen[3] == acquisition.propose(fitted, OBJECTIVE, context, q=16, seed=3).tolist()
    everything = build(Params()).propose(fitted, OBJECTIVE, context, q=2, seed=0).tolist()
    assert everything == [57, 56]
