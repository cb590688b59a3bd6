"""What a round chooses among: decoded crystals, near the good ones and from the prior, and those of a user's list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from pymatgen.core import Structure
from torch import Tensor

from campaigns.records import FailureCode
from optimizer.admission import admit
from optimizer.build import Parts
from optimizer.candidate_list import LIST, open_places
from optimizer.surrogate_inputs import surrogate_inputs
from optimizer.trust_region import TrustRegion, latent_pool


@dataclass(frozen=True)
class Pool:
    """k admitted crystals, the arm of each and its latent `z [k, d]`: what it was decoded from, or the encoder's mean.

    The first rows are those of the list, at the places `listed`.
    """

    crystals: tuple[Structure, ...]
    arms: tuple[str, ...]
    z: Tensor
    listed: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.crystals)

    def inputs(self, parts: Parts) -> Tensor:
        """What the surrogate sees of each, `[k, d + p]`."""
        n = len(self.listed)
        decoded = self.crystals[n:]
        found = [_inputs_of_list(parts)[list(self.listed)]] if n else []
        if decoded:
            found.append(surrogate_inputs(parts, encoded(parts, decoded, list(self.z[n:])), decoded))
        return torch.cat(found)


def pool_of(
    parts: Parts, region: TrustRegion, shares: Mapping[str, float], seen: set[str], seed: int
) -> tuple[Pool, Counter[FailureCode]]:
    """The round's pool, and how many were refused by which code. `seen` holds the campaign's fingerprints; those of
    the decoded crystals are added.
    """
    listed, refused = _from_list(parts, seen)
    if parts.listed is not None:
        seen |= {parts.listed.fingerprints[place] for place in listed.listed}
    if parts.spec.candidates is not None and parts.spec.candidates.only:
        return listed, refused
    d = parts.generator.latent_dim
    drawn, arms = latent_pool(region, parts.spec.pool_size, d, seed, mix=shares)
    drawn = _with_relatives(parts, drawn, arms, seed)
    decoded = parts.generator.decode(drawn, within=parts.spec.space, seed=seed)
    admitted, failures = admit(decoded, parts.spec.space, parts.references, seen, allow_known=parts.spec.propose_known)
    rows = [each.index for each in admitted]
    return (
        Pool(
            (*listed.crystals, *(each.crystal for each in admitted)),
            (*listed.arms, *(arms[row] for row in rows)),
            torch.cat([listed.z, drawn[rows]]),
            listed.listed,
        ),
        refused + failures,
    )


def encoded(parts: Parts, crystals: Sequence[Structure], decoded_from: Sequence[Tensor]) -> Tensor:
    """The encoder's mean of each crystal, `[n, d]`; the latent it was decoded from where it has none.

    Many latents decode to one crystal. What was measured stands at or near the encoder's mean, so what is to be
    compared with it must stand there too.
    """
    means = parts.generator.encode(crystals)
    return torch.stack([mean if isinstance(mean, Tensor) else z for mean, z in zip(means, decoded_from, strict=True)])


def _from_list(parts: Parts, seen: set[str]) -> tuple[Pool, Counter[FailureCode]]:
    """What the campaign has not seen of the user's list."""
    if parts.listed is None:
        return Pool((), (), torch.empty(0, parts.generator.latent_dim, dtype=torch.float64), ()), Counter()
    inside, refused = parts.listed.screened(parts.spec.space, parts.references, allow_known=parts.spec.propose_known)
    latents = parts.listed.latents(parts.generator)
    places = [place for place in open_places(parts.listed, inside, seen) if not latents[place].isnan().any()]
    crystals = tuple(parts.listed.crystals[place] for place in places)
    return Pool(crystals, (LIST,) * len(places), latents[places], tuple(places)), refused


def _inputs_of_list(parts: Parts) -> Tensor:
    """Surrogate inputs of the whole list, NaN where a crystal has no latent."""
    assert parts.listed is not None
    listed, spec = parts.listed, parts.spec
    key = ("inputs", parts.generator.version, parts.references.version, spec.descriptors, spec.prior_mean)
    return listed.remembered(
        (*key, parts.objective.properties),
        lambda: surrogate_inputs(parts, listed.latents(parts.generator), listed.crystals),
    )


def _with_relatives(parts: Parts, pool: Tensor, arms: Sequence[str], seed: int) -> Tensor:
    """The pool, with relatives of the centres in the rows that substitution has."""
    rows = [i for i, arm in enumerate(arms) if arm == "substitution"]
    if not rows:
        return pool
    changed = pool.clone()
    changed[rows] = parts.generator.relatives(pool[rows], within=parts.spec.space, seed=seed)
    return changed
