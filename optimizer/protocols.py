"""What an oracle and an acquisition must do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from pymatgen.core import Structure
from torch import Tensor

from campaigns.records import Failed, Measured, Property
from campaigns.spec import SearchSpace
from surrogates.protocols import FittedSurrogate

if TYPE_CHECKING:
    from optimizer.objective import CampaignObjective


@dataclass(frozen=True)
class OracleContext:
    """What an oracle is built with. Relative paths in its parameters start at `folder`, the campaign file's."""

    device: str  # "cpu" or "cuda"
    folder: str = "."


class Oracle(Protocol):
    """Crystal -> Measured or Failed. Stages of a cascade: each sees the crystal the one before it returned."""

    version: str  # names the code and the weights that decide the answer
    properties: tuple[Property, ...]
    nominal_seconds: float  # rough cost of one crystal on one core; the dearest stage is the one that is budgeted

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        """Yield `(index into xs, outcome)` as each finishes; exactly one outcome per crystal."""
        ...


@dataclass(frozen=True)
class ProposalContext:
    """What an acquisition chooses from and must respect.

    pool `[n, d]`: latents whose decoded crystals passed every screen; proposals are rows of it.
    observed_z `[k, d]`: latents already measured.   pending `[p, d]`: proposed, not measured yet.
    """

    pool: Tensor
    observed_z: Tensor
    pending: Tensor
    device: torch.device
    space: SearchSpace


class Acquisition(Protocol):
    """Posterior -> the next batch."""

    def propose(
        self, fitted: FittedSurrogate, objective: CampaignObjective, context: ProposalContext, *, q: int, seed: int
    ) -> Tensor:
        """Indices into `context.pool` of the chosen batch, `[q]` (fewer where the pool is smaller), best first."""
        ...
