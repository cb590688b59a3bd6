"""A lattice as the six numbers that the networks regress, whatever its system leaves free, and back."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from generative.datasets import Codes
from generative.symmetry import space_group

SYSTEMS = {  # which of (log b/a, log c/a, cos alpha, cos beta, cos gamma) a lattice system leaves free
    "cubic": (0, 0, 0, 0, 0),
    "tetragonal": (0, 1, 0, 0, 0),
    "hexagonal": (0, 1, 0, 0, 0),
    "orthorhombic": (1, 1, 0, 0, 0),
    "monoclinic": (1, 1, 0, 1, 0),
    "triclinic": (1, 1, 1, 1, 1),
}
LOG_RATIOS = (-3.0, 3.0)  # bounds of the logarithms of ratios of lengths
# and of the cube root of the volume per atom (0.2 to 1000 cubic angstrom): no crystal lies beyond
LOG_SIZES = (math.log(0.2) / 3, math.log(1000) / 3)


@cache
def _group_tables() -> tuple[np.ndarray, np.ndarray]:
    """By space-group number: primitive over conventional volume `[231]`, free shape terms `[231, 5]`."""
    groups = [space_group(number) for number in range(1, 231)]
    volume = np.array([1.0, *(abs(np.linalg.det(g.primitive)) for g in groups)])
    return volume, np.array([(0,) * 5, *(SYSTEMS[g.system] for g in groups)])


def lattice_shape(codes: Codes) -> np.ndarray:
    """The six regressed lattice numbers of every code, `[n, 6]`; fixed ones are zero."""
    a, b, c = codes.lattice[:, :3].T
    cosines = np.cos(np.radians(codes.lattice[:, 3:]))
    ca, cb, cg = cosines.T
    volume = a * b * c * np.sqrt(np.clip(1 + 2 * ca * cb * cg - ca**2 - cb**2 - cg**2, 1e-9, None))
    primitive, free = _group_tables()
    volume = volume * primitive[codes.space_group]
    shape = np.column_stack([np.log(volume / codes.n_atoms()) / 3, np.log(b / a), np.log(c / a), cosines])
    shape[:, 1:] *= free[codes.space_group]
    return shape


def lattice_from_shape(shape: np.ndarray, numbers: np.ndarray, n_atoms: np.ndarray) -> np.ndarray:
    """Inverse of `lattice_shape`: `[n, 6]`, space groups `[n]`, atoms in the primitive cell `[n]` -> `[n, 6]` a, b, c
    (angstrom), alpha, beta, gamma (degrees)."""
    primitive, free = _group_tables()
    terms = shape[:, 1:] * free[numbers]
    ratios = np.exp(np.clip(np.column_stack([np.zeros(len(shape)), terms[:, :2]]), *LOG_RATIOS))
    cosines = np.clip(terms[:, 2:], -0.95, 0.95)
    cosines[(numbers >= 143) & (numbers <= 194), 2] = -0.5
    cosines = _closing(cosines)
    unit = ratios.prod(axis=1) * np.sqrt(_openness(cosines))
    volume = np.exp(3 * np.clip(shape[:, 0], *LOG_SIZES)) * n_atoms / primitive[numbers]
    return np.column_stack([np.cbrt(volume / unit)[:, None] * ratios, np.degrees(np.arccos(cosines))])


FLATTEST = 0.05  # squared volume of a cell of unit edges: reduced cells of real crystals are far above it


def _openness(cosines: np.ndarray) -> np.ndarray:
    """Squared volume of cells of unit edges, `[n, 3]` cosines -> `[n]`; negative where no cell closes."""
    return 1 + 2 * cosines.prod(axis=1) - (cosines**2).sum(axis=1)


def _closing(cosines: np.ndarray) -> np.ndarray:
    """Cosines shrunk together, a tenth at a time, until the cell closes and is not flat."""
    cosines = cosines.copy()
    while (flat := _openness(cosines) < FLATTEST).any():
        cosines[flat] *= 0.9
    return cosines
