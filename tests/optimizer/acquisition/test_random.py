"""The baseline really is a uniform choice."""

from __future__ import annotations

import torch

from campaigns.goals import Objective
from campaigns.search_space import SearchSpace
from optimizer.acquisition.random import Params, build
from optimizer.objective import CampaignObjective
from optimizer.protocols import ProposalContext


def test_every_row_is_chosen_about_as_often():
    pool = torch.zeros(10, 2, dtype=torch.float64)
    context = ProposalContext(pool, pool[:0], pool[:0], torch.device("cpu"), SearchSpace())
    objective = CampaignObjective((("density_g_cm3", Objective(goal="minimize")),))
    acquisition = build(Params())
    counts = torch.zeros(10, dtype=torch.long)
    for seed in range(1000):
        counts[acquisition.propose(None, objective, context, q=2, seed=seed)] += 1  # type: ignore[arg-type]
    assert int(counts.sum()) == 2000
    assert int(counts.min()) > 150
    assert int(counts.max()) < 250
