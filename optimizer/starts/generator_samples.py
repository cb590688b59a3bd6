"""Begin with samples of the generator: z from N(0, I), decoded inside the search space, new and unique."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field

from campaigns.search_space import SearchSpace
from campaigns.spec import Strict
from generative.protocols import DecodeFailure, Generator
from optimizer.protocols import StartContext, StartCrystal

BATCH = 64
MOST_BATCHES = 50


class Params(Strict):
    """How many samples to evaluate."""

    n: int = Field(16, ge=1, description="Samples that go to the oracles.")
    temperature: float = Field(
        0.0, ge=0, le=2, description="0 decodes greedily; above it, decisions are drawn: more varied, less plausible."
    )


@dataclass(frozen=True)
class GeneratorSamples:
    limit: int
    temperature: float = 0.0
    allow_known: ClassVar[bool] = False

    def crystals(
        self, generator: Generator, space: SearchSpace, *, seed: int
    ) -> Iterator[StartCrystal | DecodeFailure]:
        noise = torch.Generator().manual_seed(seed)
        for batch in range(MOST_BATCHES):
            z = torch.randn(BATCH, generator.latent_dim, generator=noise, dtype=torch.float64)
            decoded = generator.decode(z, within=space, seed=seed + batch, temperature=self.temperature)
            for latent, crystal in zip(z, decoded, strict=True):
                if isinstance(crystal, DecodeFailure):
                    yield crystal
                else:  # what was drawn is not what the latent decodes to
                    yield StartCrystal(crystal, z=None if self.temperature else latent)


def build(params: Params, context: StartContext) -> GeneratorSamples:
    return GeneratorSamples(params.n, params.temperature)
