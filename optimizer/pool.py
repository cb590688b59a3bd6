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
from optimizer.candidate_list import LIST
from optimizer.surrogate_inputs import surrogate_inputs
from optimizer.trust_region import TrustRegion, latent_pool


@dataclass(frozen=True)
class Pool:
    """k admitted crystals, the arm of each and its latent `z [k, d]`: what it was decoded from, or the encoder's mean.

    The first `from_list` rows are those of a user's list.
    """

    crystals: tuple[Structure, ...]
    arms: tuple[str, ...]
    z: Tensor
    from_list: int

    def __len__(self) -> int:
        return len(self.crystals)

    def inputs(self, parts: Parts) -> Tensor:
        """What the surrogate sees of each, `[k, d + p]`."""
        n = self.from_list
        decoded = self.crystals[n:]
        places = [self.z[:n]] + ([encoded(parts, decoded, list(self.z[n:]))] if decoded else [])
        return surrogate_inputs(parts, torch.cat(places), self.crystals)

    def and_then(self, more: Pool) -> Pool:
        """This pool and `more`, which has nothing of a list."""
        z = torch.cat([self.z, more.z])
        return Pool((*self.crystals, *more.crystals), (*self.arms, *more.arms), z, self.from_list)


def pool_of(
    parts: Parts, region: TrustRegion, shares: Mapping[str, float], n: int, seen: set[str], seed: int
) -> tuple[Pool, Counter[FailureCode]]:
    """What the user's list has left, and what n latents around the region decode to, `shares` of them by each arm; how
    many of the decoded were refused by which code. `seen` holds the campaign's fingerprints; the pool's are added.
    """
    listed = _from_list(parts, seen)
    if parts.spec.only_listed:
        return listed, Counter()
    drawn, arms = latent_pool(region, n, parts.generator.latent_dim, seed, mix=shares)
    decoded, failures = decoded_pool(parts, drawn, arms, seen, seed)
    return listed.and_then(decoded), failures


def decoded_pool(
    parts: Parts, drawn: Tensor, arms: Sequence[str], seen: set[str], seed: int
) -> tuple[Pool, Counter[FailureCode]]:
    """What the latents `drawn [n, d]` decode to and is admitted; of the arm `substitution`, what their relatives do."""
    drawn = _with_relatives(parts, drawn, arms, seed)
    decoded = parts.generator.decode(drawn, within=parts.spec.space, seed=seed)
    admitted, failures = admit(decoded, parts.spec.space, parts.references, seen, allow_known=parts.spec.propose_known)
    rows = [each.index for each in admitted]
    return Pool(tuple(x.crystal for x in admitted), tuple(arms[row] for row in rows), drawn[rows], 0), failures


def encoded(parts: Parts, crystals: Sequence[Structure], decoded_from: Sequence[Tensor]) -> Tensor:
    """The encoder's mean of each crystal, `[n, d]`; the latent it was decoded from where it has none.

    Many latents decode to one crystal. What was measured stands at or near the encoder's mean, so what is to be
    compared with it must stand there too.
    """
    means = parts.generator.encode(crystals)
    return torch.stack([mean if isinstance(mean, Tensor) else z for mean, z in zip(means, decoded_from, strict=True)])


def _from_list(parts: Parts, seen: set[str]) -> Pool:
    """What the campaign has not seen of the user's list; it is added to `seen`."""
    listed, generator, space = parts.listed, parts.generator, parts.spec.space
    found: dict[int, Tensor] = {}
    if listed is not None:
        inside, _ = listed.screened(generator, space, parts.references, allow_known=parts.spec.propose_known)
        means = listed.latents(generator)
        new = [place for place in inside if listed.fingerprints[place] not in seen]
        found = {place: mean for place in new if isinstance(mean := means[place], Tensor)}
        seen |= {listed.fingerprints[place] for place in found}
    crystals = () if listed is None else tuple(listed.crystals[place] for place in found)
    empty = torch.empty(0, generator.latent_dim, dtype=torch.float64)
    return Pool(crystals, (LIST,) * len(found), torch.stack(list(found.values())) if found else empty, len(found))


def _with_relatives(parts: Parts, pool: Tensor, arms: Sequence[str], seed: int) -> Tensor:
    """The pool, with relatives of the centres in the rows that substitution has."""
    rows = [i for i, arm in enumerate(arms) if arm == "substitution"]
    if not rows:
        return pool
    changed = pool.clone()
    changed[rows] = parts.generator.relatives(pool[rows], within=parts.spec.space, seed=seed)
    return changed
