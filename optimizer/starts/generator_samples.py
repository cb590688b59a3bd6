"""Begin with samples of the generator: z from N(0, I), decoded inside the search space, new and unique."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field

from campaigns.spec import SearchSpace, Strict
from generative.protocols import DecodeFailure, Generator
from optimizer.protocols import StartContext, StartCrystal

BATCH = 64
MOST_BATCHES = 50


class Params(Strict):
    """How many samples to evaluate."""

    n: int = Field(16, ge=1, description="Samples that go to the oracles.")


@dataclass(frozen=True)
class GeneratorSamples:
    limit: int
    allow_known: ClassVar[bool] = False

    def crystals(
        self, generator: Generator, space: SearchSpace, *, seed: int
    ) -> Iterator[StartCrystal | DecodeFailure]:
        noise = torch.Generator().manual_seed(seed)
        for _ in range(MOST_BATCHES):
            z = torch.randn(BATCH, generator.latent_dim, generator=noise, dtype=torch.float64)
            for latent, crystal in zip(z, generator.decode(z, within=space, seed=seed), strict=True):
                yield crystal if isinstance(crystal, DecodeFailure) else StartCrystal(crystal, z=latent)


def build(params: Params, context: StartContext) -> GeneratorSamples:
    return GeneratorSamples(params.n)
