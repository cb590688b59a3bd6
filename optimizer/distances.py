"""Distances in a periodic crystal, every image counted, without building neighbour objects."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pymatgen.optimization.neighbors import find_points_in_spheres

PERIODIC = np.ones(3, dtype=np.int64)


def pairs_within(
    lattice: NDArray[np.float64], cartesian: NDArray[np.float64], radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """All ordered pairs closer than `radius`, an atom and its own images included.

    lattice `[3, 3]` (rows) and cartesian `[n, 3]` -> (i `[p]`, j `[p]`, distance `[p]`), all in angstrom.
    """
    points = np.ascontiguousarray(cartesian, dtype=float)
    cell = np.ascontiguousarray(lattice, dtype=float)
    first, second, images, distance = find_points_in_spheres(points, points, float(radius), PERIODIC, cell, 1e-8)
    itself = (first == second) & ~images.any(axis=1)
    return first[~itself], second[~itself], distance[~itself]


def shortest_distance(lattice: NDArray[np.float64], cartesian: NDArray[np.float64], within: float) -> float:
    """The shortest interatomic distance in angstrom, or infinity where none is below `within`."""
    distance = pairs_within(lattice, cartesian, within)[2]
    return float(distance.min()) if len(distance) else float("inf")


def lone_atoms(lattice: NDArray[np.float64], cartesian: NDArray[np.float64], radius: float) -> list[int]:
    """Indices of the atoms without any neighbour within `radius` angstrom."""
    return sorted(set(range(len(cartesian))) - set(pairs_within(lattice, cartesian, radius)[0].tolist()))
