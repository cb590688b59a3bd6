"""From proposals to crystals that may be measured: the same screens for every arm, and their latents."""

from __future__ import annotations

from collections.abc import Sequence

from pymatgen.core import Structure
from torch import Tensor, stack

from benchmarks.search.protocols import Answer, History, Proposal, Task
from generative.protocols import DecodeFailure, Generator
from generative.representations.wyckoff import fingerprint
from optimizer.admission import admit


def screened(
    task: Task, proposals: Sequence[Proposal], n: int, history: History, seed: int
) -> list[tuple[int, Structure]]:
    """The first n that are inside the space, not measured before and not known: `(index into proposals, crystal)`.

    A latent is decoded inside the space.
    """
    seen = {mark for row in history.rows if isinstance(mark := fingerprint(row.answer.crystal), str)}
    found: list[tuple[int, Structure]] = []
    for first in range(0, len(proposals), n):
        some = proposals[first : first + n]
        admitted, _ = admit(_crystals(task, some, seed), task.spec.space, task.references, seen)
        found += [(first + a.index, a.crystal) for a in admitted]
        if len(found) >= n:
            break
    return found[:n]


def _crystals(task: Task, proposals: Sequence[Proposal], seed: int) -> list[Structure | DecodeFailure]:
    latents = [p.z for p in proposals if p.z is not None]
    decoded = iter(task.generator.decode(stack(latents), within=task.spec.space, seed=seed) if latents else [])
    return [next(decoded) if p.crystal is None else p.crystal for p in proposals]


def crystal_answers(generator: Generator, crystals: Sequence[Structure]) -> list[Answer]:
    """Answers without values yet: each crystal with its latent."""
    latents = generator.encode(crystals)
    return [Answer(x, z if isinstance(z, Tensor) else None, None) for x, z in zip(crystals, latents, strict=True)]
