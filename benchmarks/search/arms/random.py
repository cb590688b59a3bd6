"""Samples of the generator's prior, and nothing learned. On a pool, drawing crystals without replacement is better
still and needs no run: see `benchmarks.search.metrics`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmarks.search.protocols import ArmContext, History, Proposal, Task
from campaigns.spec import Strict

SPARE = 8  # proposals for each that is asked for: screens refuse some


class Params(Strict):
    """None."""


@dataclass(frozen=True)
class RandomArm:
    def propose(self, task: Task, history: History, n: int, seed: int) -> Sequence[Proposal]:
        noise = torch.Generator().manual_seed(seed)
        z = torch.randn(SPARE * n, task.generator.latent_dim, generator=noise, dtype=torch.float64)
        return [Proposal(z=row, label="prior") for row in z]


def build(params: Params, context: ArmContext) -> RandomArm:
    return RandomArm()
