"""The atoms of many codes at once, and how close they come to one another."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from campaigns.elements import SYMBOLS
from generative.symmetry import Array, space_group

Ints = NDArray[np.int64]
CLOSE = 0.6  # of the sum of two covalent radii; the closest pair of 2,600 training crystals is at 0.67
CLOSEST_ANG = 0.6  # whatever the radii
MAX_POSITIONS = 27  # Pmmm has a to A
IMAGES = {  # periods off, by the axes (bits 0 to 2) along which images are looked at; the atom itself left out
    bits: np.array(
        [p for p in itertools.product(*((-1.0, 0.0, 1.0) if bits >> i & 1 else (0.0,) for i in range(3))) if any(p)]
    )
    for bits in range(1, 8)
}


@dataclass(frozen=True)
class OrbitTable:
    """Affine maps of every atom of every position of every group, one after another.

    `start [231, 27]` and `size [231, 27]` find the rows of `linear [t, 3, 3]` and `shift [t, 3]` (conventional axes);
    `primitive` and `to_primitive [231, 3, 3]` change rows of coordinates between the cells.
    """

    start: Ints
    size: Ints
    linear: Array
    shift: Array
    primitive: Array
    to_primitive: Array


@cache
def orbit_table() -> OrbitTable:
    start, size = np.zeros((231, MAX_POSITIONS), dtype=np.int64), np.zeros((231, MAX_POSITIONS), dtype=np.int64)
    primitive = np.tile(np.eye(3), (231, 1, 1))
    linear, shift, total = [], [], 0
    for number in range(1, 231):
        group = space_group(number)
        primitive[number] = group.primitive
        for j, (maps, moves) in enumerate(group.orbits):
            start[number, j], size[number, j] = total, len(maps)
            linear.append(maps)
            shift.append(moves)
            total += len(maps)
    return OrbitTable(
        start, size, np.concatenate(linear), np.concatenate(shift), primitive, np.asarray(np.linalg.inv(primitive))
    )


@cache
def closest_allowed() -> Array:
    """By two atomic numbers the distance (angstrom) below which no two atoms are put, `[104, 104]`.

    Covalent radii of Cordero et al., Dalton Trans. 2832 (2008), as ASE tabulates them.
    """
    from ase.data import covalent_radii

    radii = np.asarray(covalent_radii[: len(SYMBOLS) + 1])
    return np.maximum(CLOSE * (radii[:, None] + radii), CLOSEST_ANG)


def cell_matrices(lattices: Array) -> Array:
    """Rows of the conventional cells from a, b, c (angstrom), alpha, beta, gamma (degrees), `[n, 6]` -> `[n, 3, 3]`.

    Oriented like `pymatgen.core.Lattice.from_parameters`: c along z, a in the xz plane. Angles that close no cell give
    a row of NaN.
    """
    a, b, c = lattices[:, :3].T
    ca, cb, cg = np.cos(np.radians(lattices[:, 3:])).T
    sa, sb, _ = np.sin(np.radians(lattices[:, 3:])).T
    cosine = (ca * cb - cg) / (sa * sb)
    with np.errstate(invalid="ignore"):
        sine = np.sqrt(1 - cosine**2)
    zero = np.zeros_like(a)
    return np.stack(
        [
            np.column_stack([a * sb, zero, a * cb]),
            np.column_stack([-b * sa * cosine, b * sa * sine, b * ca]),
            np.column_stack([zero, zero, c]),
        ],
        axis=1,
    )


def primitive_cells(numbers: Ints, lattices: Array) -> Array:
    """Rows of the primitive cells, `[n, 3, 3]` angstrom; see `cell_matrices`."""
    return orbit_table().primitive[numbers] @ cell_matrices(lattices)


@dataclass(frozen=True)
class Atoms:
    """Atoms of n crystals, `[a]` each: `crystal`, `orbit` (flat index over all orbits), `local [a, 3]` coordinates in
    the primitive cell; `first [orbits]` is the first atom of each orbit."""

    crystal: Ints
    orbit: Ints
    local: Array
    first: Ints


def place(numbers: Ints, crystal: Ints, positions: Ints, coords: Array) -> Atoms:
    """Space groups `numbers [n]`; orbits of all crystals one after another: `crystal [o]` they belong to, `positions
    [o]`, free coordinates `coords [o, 3]`."""
    table = orbit_table()
    group = numbers[crystal]
    size = table.size[group, positions]
    orbit = np.repeat(np.arange(len(crystal)), size)
    first = np.cumsum(size) - size
    row = table.start[group, positions][orbit] + np.arange(len(orbit)) - first[orbit]
    conventional = np.einsum("aij,aj->ai", table.linear[row], coords[orbit]) + table.shift[row]
    owner = crystal[orbit]
    local = np.einsum("ai,aij->aj", conventional, table.to_primitive[numbers[owner]]) % 1.0
    return Atoms(owner, orbit, local, first)


def widths(cells: Array) -> Array:
    """Distances between opposite faces, `[n, 3, 3]` -> `[n, 3]`."""
    faces = np.cross(cells[:, [1, 2, 0]], cells[:, [2, 0, 1]])
    return np.abs(np.einsum("ni,ni->n", cells[:, 0], faces[:, 0]))[:, None] / np.sqrt((faces**2).sum(axis=2))


def shortest(difference: Array, cells: Array, owner: Ints, same: NDArray[np.bool_], reach: Array) -> Array:
    """Shortest periodic distance of each pair, `[p]`, right where it is below `reach [p]` (angstrom).

    `difference [p, 3]` of primitive coordinates in the cell `cells[owner] [n, 3, 3]`; where `same` is true the two are
    one atom, and its distance to its own images is meant. Images one period off along an axis are looked at where the
    cell is thinner than twice the reach there.
    """
    wrapped = difference - np.rint(difference)
    straight = np.einsum("pi,pij->pj", wrapped, cells[owner])
    squares = np.einsum("pi,pi->p", straight, straight)
    squares[same] = np.inf
    thin = (widths(cells)[owner] < 2 * reach[:, None]) @ np.array([1, 2, 4])
    for pattern in np.unique(thin[thin > 0]):
        pairs = np.flatnonzero(thin == pattern)
        off = IMAGES[pattern] @ cells[owner[pairs]]
        vectors = straight[pairs, None] + off
        squares[pairs] = np.minimum(squares[pairs], np.einsum("pij,pij->pi", vectors, vectors).min(axis=1))
    return np.sqrt(squares)


def crowding(atoms: Atoms, elements: Ints, cells: Array) -> tuple[Array, Ints, Ints]:
    """Distances over those allowed (right where below one), of the first atom of every orbit to all of its crystal.

    `elements [o]` of the orbits, primitive `cells [n, 3, 3]` -> ratios `[p]`, the orbit and the other orbit `[p]`.
    """
    n = len(cells)
    counts = np.bincount(atoms.crystal, minlength=n)
    begin = np.cumsum(counts) - counts
    owner = atoms.crystal[atoms.first]
    size = counts[owner]
    one = np.repeat(np.arange(len(owner)), size)
    other = np.repeat(begin[owner] - (np.cumsum(size) - size), size) + np.arange(len(one))
    first = atoms.first[one]
    partner = atoms.orbit[other]
    allowed = closest_allowed()[elements[one], elements[partner]]
    distance = shortest(atoms.local[first] - atoms.local[other], cells, owner[one], first == other, allowed)
    return distance / allowed, one, partner
