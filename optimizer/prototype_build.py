"""Build the library of structure types: `python -m optimizer.prototype_build --data CSV --out FILE`.

CSV has the column cif. Of each type with at most three elements and 20 atoms the most typical member is kept: the one
nearest the median of cell shape and free coordinates. The elements' volumes are a least-squares fit of the volume per
cell as a sum over atoms.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from campaigns.elements import SYMBOLS
from campaigns.workers import cores
from generative.datasets import Codes, encode_set
from generative.loading import load_crystals
from generative.representations.wyckoff import DEFAULT_SYMPREC_ANG, fingerprint_of
from generative.sites import primitive_cells
from generative.symmetry import space_group
from optimizer.prototypes import polar, type_of

MAX_ELEMENTS, MAX_ATOMS, MAX_ORBITS = 3, 20, 12


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m optimizer.prototype_build", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="CSV, plain or gzipped, with the column cif")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--codes", type=Path, help="where the encoded crystals are kept between runs")
    given = parser.parse_args(arguments)
    found = encode_set(load_crystals(given.data), symprec_ang=DEFAULT_SYMPREC_ANG, cache=given.codes, workers=cores())
    kept = representatives(found.codes)
    write_library(given.out, kept, atomic_volumes(found.codes))
    print(f"{given.out}: {len(kept)} structure types of {len(found.codes)} crystals", file=sys.stderr)


def representatives(codes: Codes) -> Codes:
    """The most typical member of each type, sorted by type."""
    small = np.flatnonzero((codes.n_atoms() <= MAX_ATOMS) & (codes.n_orbits <= MAX_ORBITS))
    members: dict[str, list[int]] = defaultdict(list)
    for i in small.tolist():
        label, elements = type_of(fingerprint_of(codes.code(i)))
        if len(elements) <= MAX_ELEMENTS:
            members[label].append(i)
    chosen = np.array([_typical(codes, np.array(members[label])) for label in sorted(members)])
    taken = codes.take(chosen)
    return Codes(
        taken.space_group,
        taken.n_orbits,
        taken.positions[:, :MAX_ORBITS],
        taken.elements[:, :MAX_ORBITS],
        taken.coords[:, :MAX_ORBITS],
        taken.lattice,
        np.arange(len(taken)),
    )


def _typical(codes: Codes, rows: NDArray[np.int64]) -> int:
    lengths = np.log(codes.lattice[rows, :3])
    shape = np.hstack([lengths - lengths.mean(axis=1, keepdims=True), np.radians(codes.lattice[rows, 3:])])
    features = np.hstack([shape, codes.coords[rows].reshape(len(rows), -1)])
    return int(rows[np.abs(features - np.median(features, axis=0)).sum(axis=1).argmin()])


def atomic_volumes(codes: Codes) -> NDArray[np.float64]:
    """Cubic angstrom per atom `[2, 103]`, in metallic and in polar compounds; those that one sort lacks are as in the
    other, the median over elements where both do."""
    counts, volumes = np.zeros((len(codes), len(SYMBOLS))), np.zeros(len(codes))
    for i in range(len(codes)):
        code = codes.code(i)
        np.add.at(counts[i], code.elements - 1, space_group(code.space_group).multiplicities[code.positions])
        volumes[i] = abs(np.linalg.det(primitive_cells(np.array([code.space_group]), code.lattice[None])[0]))
    size = counts.sum(axis=1)
    kind = np.array([polar((np.flatnonzero(row) + 1).tolist()) for row in counts])
    fits = np.stack(
        [nnls((counts / size[:, None])[kind == each], (volumes / size)[kind == each])[0] for each in (0, 1)]
    )
    fits = np.where(fits > 1, fits, fits[::-1])
    return np.where(fits > 1, fits, np.median(fits[fits > 1]))


def write_library(path: Path, codes: Codes, volumes_ang3: NDArray[np.float64]) -> None:
    """Coordinates to 4 digits, cells to 4."""
    arrays = {name: getattr(codes, name) for name in Codes.__dataclass_fields__}
    arrays |= {name: arrays[name].round(4).astype(np.float32) for name in ("coords", "lattice")}
    arrays |= {name: arrays[name].astype(np.int16) for name in arrays if arrays[name].dtype == np.int64}
    np.savez_compressed(path, volumes_ang3=volumes_ang3.round(2), **arrays)


if __name__ == "__main__":
    main()
