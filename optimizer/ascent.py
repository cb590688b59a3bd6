"""The arm `ascent`: a round climbs the acquisition over crystals before it chooses.

The other arms draw blindly; this one draws after the surrogate is fitted, in waves around the crystals that the
acquisition would choose now. So searches the acquisition of a process on molecules A. Tripp, G. N. C. Simm & J. M.
Hernandez-Lobato, "A fresh look at de novo molecular design benchmarks" (NeurIPS workshop AI for Science, 2021), with a
genetic algorithm. The last waves follow the acquisition's gradient, where it has one. It sees the latent alone, beside
the descriptors of what that decoded to at first; what stands on the way is decoded and described anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor

from campaigns.records import FailureCode
from optimizer.build import Parts
from optimizer.gradient_ascent import gradient_ascent
from optimizer.objective import CampaignObjective
from optimizer.phases import phase_seed
from optimizer.pool import Pool, decoded_pool
from optimizer.portfolio import ASCENT
from optimizer.protocols import DifferentiableAcquisition, ProposalContext
from optimizer.trust_region import TrustRegion, latent_pool
from surrogates.protocols import FittedSurrogate

WAVES = 16  # where there are latents enough
LEAST = 16  # latents in a wave: each has a decode and a choice of its own
ROWS = 6000  # of the surrogate, over all waves: each wave chooses anew, and that takes longer with every row
PROMISING = 8  # crystals that a wave is drawn around
STEP = 0.3  # of a neighbour, in standard deviations of the prior
GRADIENT = 4  # of so many waves one follows the gradient
MIX: Mapping[str, float] = MappingProxyType({"trust_region": 0.4, "crossover": 0.2, "substitution": 0.4})


@dataclass(frozen=True, eq=False)
class Offer:
    """A pool and what the acquisition needs to choose from it."""

    pool: Pool
    inputs: Tensor  # [k, w], what the surrogate sees of the pool
    fitted: FittedSurrogate
    observed: Tensor  # [n, w]
    pending: Tensor  # [p, w]
    objective: CampaignObjective  # in the units of the surrogate

    def chosen(self, parts: Parts, q: int, seed: int) -> list[int]:
        """Rows of the pool, best first."""
        context = self._context(parts)
        return parts.acquisition.propose(self.fitted, self.objective, context, q=q, seed=seed).tolist()

    def around(self, parts: Parts, rows: Sequence[int], n: int, seed: int) -> tuple[Tensor, tuple[str, ...]]:
        """n latents near rows of the pool, their children and relatives, and the arm that decodes each."""
        promising = TrustRegion(self.pool.z[rows], STEP)
        return latent_pool(promising, n, parts.generator.latent_dim, seed, mix=MIX)

    def uphill(
        self, acquisition: DifferentiableAcquisition, parts: Parts, rows: Sequence[int], n: int, seed: int
    ) -> tuple[Tensor, tuple[str, ...]]:
        """The same along the gradient of what the rows are worth together."""
        gain = acquisition.gain(self.fitted, self.objective, self._context(parts), q=len(rows), seed=seed)
        drawn = gradient_ascent(gain, self.inputs[rows].to(parts.device), parts.generator.latent_dim, n).cpu()
        return drawn, (ASCENT,) * len(drawn)

    def _context(self, parts: Parts) -> ProposalContext:
        return ProposalContext(self.inputs, self.observed, self.pending, parts.device, parts.spec.space)


def latents_of_ascent(parts: Parts, shares: Mapping[str, float]) -> int:
    """How many of the round's latents are drawn after the fit; none where only a user's list is chosen from."""
    return 0 if parts.spec.only_listed else int(parts.spec.pool_size * shares[ASCENT])


def wave_sizes(n: int, observed: int) -> list[int]:
    """How n latents are divided, where the surrogate rests on so many rows."""
    waves = max(1, min(WAVES, n // LEAST, ROWS // max(1, observed)))
    return [n * (i + 1) // waves - n * i // waves for i in range(waves)]


def blind_waves(waves: int) -> int:
    """How many of so many waves come before those that follow a gradient."""
    return waves - waves // GRADIENT


def climb(parts: Parts, offer: Offer, n: int, seen: set[str], failures: Counter[FailureCode], round: int) -> Offer:
    """The offer with what n more latents decode to: neighbours, children and relatives of promising crystals.

    What is admitted is added to `seen`, what is refused counted in `failures`.
    """
    sizes, acquisition = wave_sizes(n, len(offer.observed)), parts.acquisition
    for wave, size in enumerate(sizes):
        seed = phase_seed(parts.spec.seed, round, "propose", 1 + wave)
        promising = offer.chosen(parts, PROMISING, seed)
        if isinstance(acquisition, DifferentiableAcquisition) and wave >= blind_waves(len(sizes)):
            drawn, arms = offer.uphill(acquisition, parts, promising, size, seed)
        else:
            drawn, arms = offer.around(parts, promising, size, seed)
        more, refused = decoded_pool(parts, drawn, arms, seen, seed)
        failures.update(refused)
        if len(more):
            pool = offer.pool.and_then(replace(more, arms=(ASCENT,) * len(more)))
            offer = replace(offer, pool=pool, inputs=torch.cat([offer.inputs, more.inputs(parts)]))
    return offer
