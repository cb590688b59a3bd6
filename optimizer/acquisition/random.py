"""Uniform choice from the pool: what the surrogate and the acquisition have to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from optimizer.objective import CampaignObjective
from optimizer.protocols import ProposalContext
from surrogates.protocols import FittedSurrogate


class Params(BaseModel):
    """`kind: random` has no parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class RandomChoice:
    """Ignores the surrogate."""

    def propose(
        self,
        fitted: FittedSurrogate,
        objective: CampaignObjective,
        context: ProposalContext,
        *,
        q: int,
        seed: int,
    ) -> Tensor:
        """Up to q different indices into `context.pool`, int64; what is pending comes last."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(context.pool), generator=generator)
        pending = context.already_pending[order]
        return torch.cat([order[~pending], order[pending]])[:q]


def build(params: Params, context: Any = None) -> RandomChoice:
    """The acquisition; it needs nothing from the context."""
    return RandomChoice()
