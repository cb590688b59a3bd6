"""A pool of crystals with known values, as a task: whatever an arm proposes, the nearest crystal left is charged.

Nearest by Euclidean distance between latents (the encoder's means), the same rule for every arm. Every arm may look at
the crystals of the list, never at their values; who proposes one of them is charged that one. The table is encoded
once; the file with the latents is named by the generator, the rows and the symmetry search.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core import Structure
from torch import Tensor

from benchmarks.search.protocols import Answer, History, Proposal
from campaigns.artifacts import write_durably
from campaigns.crystals import crystal_from_json, crystal_to_json
from campaigns.errors import UserError
from campaigns.spec import CampaignSpec
from generative.canonical import WyckoffCode
from generative.loading import load_crystals
from generative.protocols import Generator
from generative.representations.wyckoff import Params as WyckoffParams
from generative.representations.wyckoff import build as build_representation
from optimizer.objective import CampaignObjective
from optimizer.references import ReferenceTable

START = 16
LOST = "encode_failed"


@dataclass(frozen=True, eq=False)
class Pool:
    """n encoded crystals of a table. `left_out` names the rows that could not be read or encoded, and why."""

    digest: str
    names: tuple[str, ...]
    crystals: tuple[Structure, ...]
    z: Tensor  # [n, d]
    rows: NDArray[np.int64]  # [n], index into the table
    space_groups: tuple[int, ...]
    left_out: tuple[tuple[str, str], ...]

    @cached_property
    def neighbours(self) -> str:
        """Names who lies nearest to whom. Generators with the same have latents that differ by rounding or a change of
        unit, and charge the same crystal for the same proposal."""
        exact = "donot_use_mm_for_euclid_dist"
        distances = (torch.cdist(z, self.z, compute_mode=exact) for z in self.z.split(256))
        nearest = torch.cat([each.topk(2, largest=False).indices[:, 1] for each in distances])
        return hashlib.sha256(nearest.numpy().astype("<i8").tobytes()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class PoolTask:
    """See the module. `hits` maps the name of a set to the names of the crystals in it."""

    name: str
    spec: CampaignSpec
    objective: CampaignObjective
    generator: Generator
    references: ReferenceTable
    pool: Pool
    values: tuple[Mapping[str, float], ...]
    hits: Mapping[str, tuple[str, ...]]

    @property
    def figures(self) -> Mapping[str, Any]:
        return {
            "generator": self.generator.version,
            "neighbours": self.pool.neighbours,
            "data": self.pool.digest,
            "pool": len(self.pool.names),
            "left_out": len(self.pool.left_out),
            "hits": {name: sorted(found) for name, found in self.hits.items()},
        }

    @cached_property
    def listed(self) -> Mapping[str, Structure]:
        return dict(zip(self.pool.names, self.pool.crystals, strict=True))

    def start(self, seed: int) -> list[Answer]:
        """Crystals of the pool drawn uniformly, without replacement."""
        rng = np.random.default_rng(np.random.SeedSequence([seed, 0]))
        return [self._answer(int(i)) for i in rng.choice(len(self.pool.names), START, replace=False)]

    def measure(self, proposals: Sequence[Proposal], n: int, history: History, seed: int) -> list[tuple[int, Answer]]:
        """Every proposal is charged, those that cannot be encoded too: those as failures."""
        chosen = list(proposals)[:n]
        crystals = [p.crystal for p in chosen if p.crystal is not None]
        encoded = iter(self.generator.encode(crystals))
        taken = {row.answer.name for row in history.rows}
        free = torch.tensor([name not in taken for name in self.pool.names])
        answers: list[tuple[int, Answer]] = []
        for index, proposal in enumerate(chosen):
            z = next(encoded) if proposal.z is None else proposal.z.double()
            if not isinstance(z, Tensor):
                assert proposal.crystal is not None
                answers.append((index, Answer(proposal.crystal, None, None, z.code.value)))
            elif bool(free.any()):
                distance = (self.pool.z - z).square().sum(-1).masked_fill(~free, torch.inf)
                nearest = int(distance.argmin())
                free[nearest] = False
                answers.append((index, self._answer(nearest)))
        return answers

    def finished(self, history: History) -> bool:
        """Every crystal of the first set of hits is found, or nothing is left."""
        found = {row.answer.name for row in history.rows}
        return found >= set(next(iter(self.hits.values()))) or found >= set(self.pool.names)

    def record(self, answer: Answer) -> dict[str, Any]:
        if answer.name is None:
            return {"failure": answer.failure, "crystal": crystal_to_json(answer.crystal)}
        return {"name": answer.name, "values": answer.values}

    def close(self) -> None:
        """Nothing is held."""

    def restore(self, records: Sequence[Mapping[str, Any]]) -> list[Answer]:
        places = {name: i for i, name in enumerate(self.pool.names)}
        return [
            self._answer(places[each["name"]])
            if "name" in each
            else Answer(crystal_from_json(each["crystal"]), None, None, each["failure"])
            for each in records
        ]

    def _answer(self, i: int) -> Answer:
        return Answer(self.pool.crystals[i], self.pool.z[i], self.values[i], name=self.pool.names[i])


def load_pool(data: Path, generator: Generator, cache: Path) -> Pool:
    """The crystals of a table with their latents. Raises UserError where it cannot be read or none can be encoded."""
    digest = hashlib.sha256(data.read_bytes()).hexdigest()[:16]
    file = cache / f"pool-{generator.version}-{digest}.npz"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _encode(data, generator, file)
    with np.load(file) as stored:
        return Pool(
            digest,
            tuple(stored["names"].tolist()),
            tuple(crystal_from_json(text) for text in stored["crystals"].tolist()),
            torch.from_numpy(stored["z"]),
            stored["rows"],
            tuple(stored["space_groups"].tolist()),
            tuple(map(tuple, stored["left_out"].tolist())),
        )


def _encode(data: Path, generator: Generator, file: Path) -> None:
    table = load_crystals(data)
    read = list(table.readable())
    names = table.names if len(set(table.names)) == len(table) else tuple(map(str, range(len(table))))
    there = [i for i, x in enumerate(read) if isinstance(x, Structure)]
    crystals: list[Structure] = [x for x in read if isinstance(x, Structure)]
    codes = build_representation(WyckoffParams()).featurize(crystals)
    latents = generator.encode(crystals)
    groups = [code.space_group if isinstance(code, WyckoffCode) else 0 for code in codes]
    means = {k: z for k, z in enumerate(latents) if isinstance(z, Tensor) and groups[k]}
    if not means:
        raise UserError(f"{data}: none of its crystals can be encoded.")
    why = {names[i]: str(getattr(x, "message", "")) for i, x in enumerate(read)}
    why |= {names[there[k]]: str(getattr(latents[k], "message", "")) for k in range(len(there))}
    pooled = {names[there[k]] for k in means}
    left_out = [(name, reason) for name, reason in why.items() if name not in pooled]
    partial = file.with_suffix(".partial.npz")
    np.savez_compressed(
        partial,
        names=np.array([names[there[k]] for k in means]),
        crystals=np.array([crystal_to_json(crystals[k]) for k in means]),
        z=torch.stack(list(means.values())).numpy(),
        rows=np.array([there[k] for k in means]),
        space_groups=np.array(sorted({groups[k] for k in means})),
        left_out=np.array(left_out, dtype=str).reshape(-1, 2),
    )
    write_durably(file, partial.read_bytes())
    partial.unlink()


def columns(data: Path, pool: Pool, named: Mapping[str, str]) -> tuple[Pool, tuple[Mapping[str, float], ...]]:
    """Property -> column of the table: the pool without the rows that lack a number, and the values of the others."""
    table = load_crystals(data)
    values = {name: table.numbers(column)[pool.rows] for name, column in named.items()}
    whole = np.isfinite(np.stack(list(values.values()))).all(0)
    kept = np.flatnonzero(whole)
    lost = tuple((pool.names[i], "a label is missing") for i in np.flatnonzero(~whole))
    smaller = replace(
        pool,
        names=tuple(pool.names[i] for i in kept),
        crystals=tuple(pool.crystals[i] for i in kept),
        z=pool.z[torch.from_numpy(kept)],
        rows=pool.rows[kept],
        left_out=(*pool.left_out, *lost),
    )
    return smaller, tuple({name: float(column[i]) for name, column in values.items()} for i in kept)
