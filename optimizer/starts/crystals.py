"""Begin with crystals from a file: CIF, a CSV with a `cif` column, an ASE database, extended XYZ or pymatgen JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from campaigns.search_space import SearchSpace
from campaigns.spec import Strict
from generative.protocols import DecodeFailure, Generator
from optimizer.crystal_files import located, read_crystals, require_crystal
from optimizer.protocols import StartContext, StartCrystal


class Params(Strict):
    """Which file, and how many of its crystals."""

    path: str = Field(description="File or folder, relative to the campaign file; or like matminer:NAME or mp:Li-Fe-O.")
    n: int | None = Field(None, ge=1, description="Take this many at random; all where absent.")


@dataclass(frozen=True)
class CrystalsFromFile:
    path: Path
    limit: int | None
    allow_known: ClassVar[bool] = True  # a user's seeds may well be known materials

    def crystals(
        self, generator: Generator, space: SearchSpace, *, seed: int
    ) -> Iterator[StartCrystal | DecodeFailure]:
        found = list(read_crystals(self.path))
        order = np.random.default_rng(seed).permutation(len(found)) if self.limit else range(len(found))
        for i in order:
            crystal = found[i].crystal
            yield (crystal if isinstance(crystal, DecodeFailure) else StartCrystal(crystal, source=found[i].source))


def build(params: Params, context: StartContext) -> CrystalsFromFile:
    """Raises ValueError where the path is missing, its format unknown, or not one crystal can be read from it."""
    path = located(params.path, context.folder)
    require_crystal(path)
    return CrystalsFromFile(path, params.n)
