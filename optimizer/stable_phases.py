"""Compounds that the Materials Project holds stable, by formula and formation energy: corners that a hull must have.

The bundled table of crystals is a part of what is known, and a hull of it alone calls half of the crystals stable that
DFT puts above 0.1 eV/atom. These phases come without structures, so they are corners and nothing else: no novelty, no
structure types. Their energies are DFT's, on the scale of `optimizer.elemental_references`; a potential with that scale
(MP2020_POTENTIALS) differs from them by its own error, and where a table has a crystal of the phase, the crystal's
energy stands in (`ReferenceTable`). `optimizer.stable_phase_build` makes the file.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from optimizer.formulas import atomic_fractions

FILE = "data/stable_phases.csv.gz"
COLUMNS = ("formula", "formation_energy_ev_atom")


@dataclass(frozen=True, eq=False)
class StablePhases:
    """`n` compounds; formulas reduced as pymatgen writes them. `version` hashes the file, "" where there is none."""

    formulas: tuple[str, ...] = ()
    formation_ev_atom: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # [n]
    version: str = ""

    def __len__(self) -> int:
        return len(self.formulas)

    @cached_property
    def fractions(self) -> NDArray[np.float32]:
        """Atomic fractions `[n, 103]` by atomic number."""
        return atomic_fractions(self.formulas).astype(np.float32)


@cache
def stable_phases() -> StablePhases:
    """The bundled ones, read once per process."""
    content = gzip.decompress(files("optimizer").joinpath(FILE).read_bytes())
    rows = list(csv.reader(io.StringIO(content.decode("utf-8"))))[1:]
    energies = np.array([float(energy) for _, energy in rows])
    return StablePhases(tuple(formula for formula, _ in rows), energies, hashlib.sha256(content).hexdigest()[:8])


def write_stable_phases(formation_ev_atom: dict[str, float]) -> bytes:
    """The file's content, sorted, the same bytes each time."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((formula, f"{energy:.4f}") for formula, energy in sorted(formation_ev_atom.items()))
    return gzip.compress(text.getvalue().encode(), mtime=0)
