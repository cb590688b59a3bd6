"""Crystals of a user's own that may be proposed, beside what the generator decodes or in its place.

Read, described and encoded once in a process, whatever asks: what follows from file and settings alone is remembered.
The list is read anew by every session, so that it may grow between them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pymatgen.core import Structure
from torch import Tensor

from campaigns.records import FailureCode
from campaigns.search_space import SearchSpace
from campaigns.spec import CampaignSpec
from generative.progress import tracked
from generative.protocols import EncodeFailure, Generator
from generative.representations.wyckoff import fingerprint
from optimizer.crystal_files import located, number_of_crystals, read_crystals
from optimizer.references import ReferenceTable
from optimizer.screening import screen

LIST = "list"  # the arm of what is taken from it
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class CandidateList:
    """Distinct crystals with their fingerprints, in the order of the file; `unread` counts what gave none."""

    crystals: tuple[Structure, ...]
    fingerprints: tuple[str, ...]
    unread: Counter[FailureCode]
    digest: str
    _memory: dict[Any, Any] = field(default_factory=dict)

    def remembered(self, key: Any, make: Callable[[], T]) -> T:
        """What `make` gave when `key` was first asked for: for what follows from the list and the key alone."""
        if key not in self._memory:
            self._memory[key] = make()
        return self._memory[key]

    def screened(
        self, generator: Generator, space: SearchSpace, references: ReferenceTable, *, allow_known: bool
    ) -> tuple[tuple[int, ...], Counter[FailureCode]]:
        """Places of what may be proposed: inside the space, new unless `allow_known`, and with a latent. And how many
        may not, by which code.
        """

        def find() -> tuple[tuple[int, ...], Counter[FailureCode]]:
            kept, refused = [], Counter(self.unread)
            means = self.latents(generator)
            for place, (crystal, mark) in enumerate(zip(self.crystals, self.fingerprints, strict=True)):
                mean = means[place]
                if failure := screen(crystal, space):
                    refused[failure.code] += 1
                elif not allow_known and references.is_known(mark):
                    refused[FailureCode.KNOWN] += 1
                elif isinstance(mean, EncodeFailure):
                    refused[mean.code] += 1
                else:
                    kept.append(place)
            return tuple(kept), refused

        key = ("screened", generator.version, space.model_dump_json(), references.version, allow_known)
        return self.remembered(key, find)

    def latents(self, generator: Generator) -> list[Tensor | EncodeFailure]:
        """The encoder's mean of each crystal, float64 `[d]`, or why it has none."""
        return self.remembered(("latents", generator.version), lambda: generator.encode(self.crystals))


def load_candidates(spec: CampaignSpec, folder: Path) -> CandidateList | None:
    """The list that a campaign names. Raises ValueError where it cannot be read or holds no crystal."""
    if spec.candidates is None:
        return None
    path = located(spec.candidates.path, str(folder))
    return _read(path.resolve(), _digest(path))


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            found.update(file.name.encode() + b"\0" + file.read_bytes())
    return found.hexdigest()[:16]


@lru_cache(maxsize=2)
def _read(path: Path, digest: str) -> CandidateList:
    crystals: dict[str, Structure] = {}
    unread: Counter[FailureCode] = Counter()
    for found in tracked(read_crystals(path), "reading the list", number_of_crystals(path)):
        if not isinstance(found.crystal, Structure):
            unread[found.crystal.code] += 1
            continue
        mark = fingerprint(found.crystal)
        if isinstance(mark, EncodeFailure):
            unread[mark.code] += 1
        elif mark in crystals:
            unread[FailureCode.DUPLICATE] += 1
        else:
            crystals[mark] = found.crystal
    if not crystals:
        raise ValueError(f"path: {str(path)!r} holds no crystal that can be read and encoded")
    return CandidateList(tuple(crystals.values()), tuple(crystals), unread, digest)
