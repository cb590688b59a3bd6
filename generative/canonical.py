"""One code per crystal: the smallest among the descriptions that the normaliser makes equivalent.

The stated order, each step keeping only the descriptions that are smallest so far:

1. the sorted Wyckoff letters;
2. the elements in the order of those letters, by Mendeleev number (chemically similar elements stay neighbours, so a
   prototype keeps its code when an element is exchanged for its neighbour);
3. the lattice parameters (only orthorhombic, monoclinic and triclinic descriptions differ in them);
4. the free coordinates, orbit by orbit, each orbit at the smallest of its equivalent representatives.

Real numbers within `TIE` of the smallest count as equal, so noise far below it cannot choose. Mirror images get the
same code (they are the same material), except that the eleven enantiomorphic pairs of space groups stay apart.
In polar groups the free origin is put on an orbit: one of the rarest (letter, element) class, chosen by rule 4.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from generative.symmetry import Array, SpaceGroup, mendeleev_rank, space_group

RANKS = 128  # more than there are elements: position * RANKS + rank sorts by position, then by rank
TIE = 5e-3  # fractional coordinates; relative for lengths; radians for angles
Description = tuple[NDArray[np.int64], Array, NDArray[np.int64], Array]  # positions, coords, orbit order, lattice


@dataclass(frozen=True, eq=False)
class WyckoffCode:
    """A crystal in the standard setting. `k` orbits; two codes are compared with `same_code`."""

    space_group: int
    positions: NDArray[np.int64]  # [k] index into the group's positions, a = 0
    elements: NDArray[np.int64]  # [k] atomic numbers
    coords: Array  # [k, 3] free coordinates in the slots of the template, zeros elsewhere
    lattice: Array  # [6] a, b, c in angstrom, alpha, beta, gamma in degrees (conventional cell)

    @property
    def n_atoms(self) -> int:
        """Atoms in the primitive cell."""
        return int(space_group(self.space_group).multiplicities[self.positions].sum())


def same_code(a: WyckoffCode, b: WyckoffCode, tolerance: float = 0.02) -> bool:
    """Equal symmetry and elements; coordinates (periodic), lengths (relative), angles (radians) within `tolerance`."""
    if a.space_group != b.space_group or len(a.positions) != len(b.positions):
        return False
    if not (np.array_equal(a.positions, b.positions) and np.array_equal(a.elements, b.elements)):
        return False
    gap = np.abs(a.coords - b.coords - np.rint(a.coords - b.coords)).max(initial=0)
    lengths = np.abs(a.lattice[:3] / b.lattice[:3] - 1).max()
    angles = np.radians(np.abs(a.lattice[3:] - b.lattice[3:])).max()
    return bool(max(gap, lengths, angles) <= tolerance)


def lattice_parameters(cell: Array) -> Array:
    """Rows of a cell, `[..., 3, 3]` -> a, b, c, alpha, beta, gamma in angstrom and degrees, `[..., 6]`."""
    gram = cell @ np.swapaxes(cell, -1, -2)
    lengths = np.sqrt(np.diagonal(gram, axis1=-2, axis2=-1))
    pairs = [(1, 2), (0, 2), (0, 1)]
    cosines = np.stack([gram[..., i, j] / (lengths[..., i] * lengths[..., j]) for i, j in pairs], axis=-1)
    return np.concatenate([lengths, np.degrees(np.arccos(np.clip(cosines, -1, 1)))], axis=-1)


def smallest(keys: Array) -> NDArray[np.int64]:
    """Indices of the rows of `keys [n, m]` that are lexicographically smallest, ties within TIE."""
    left = np.arange(len(keys))
    for column in range(keys.shape[1]):
        values = keys[left, column]
        left = left[values <= values.min() + TIE]
        if len(left) == 1:
            break
    return left


@cache
def _unimodular() -> tuple[Array, Array, NDArray[np.int64]]:
    """Integer matrices of determinant +-1 with entries -1, 0, 1, `[m, 3, 3]`.

    With them the transposed inverses `[m, 3, 3]`, whose rows are the new cell vectors in the old ones, and those rows
    as indices into `_short_vectors`, `[m, 3]`. Matrices whose inverse has larger entries are left out: they lead from a
    reduced cell to long vectors.
    """
    matrices = np.array(list(itertools.product((-1, 0, 1), repeat=9))).reshape(-1, 3, 3)
    matrices = matrices[np.abs(np.rint(np.linalg.det(matrices))) == 1]
    rows = np.rint(np.swapaxes(np.linalg.inv(matrices), 1, 2)).astype(int)
    short = np.abs(rows).max(axis=(1, 2)) <= 1
    return matrices[short].astype(float), rows[short].astype(float), (rows[short] + 1) @ np.array([9, 3, 1])


@cache
def _short_vectors() -> Array:
    """Lattice vectors with entries -1, 0, 1, `[27, 3]`."""
    return np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=3)))


def _lattice_key(parameters: Array) -> Array:
    """Reduced cells first: total length, then lengths, then angles; lengths over their mean. `[n, 6]` -> `[n, 7]`."""
    lengths = parameters[:, :3] / parameters[:, :3].mean(axis=1).min()
    return np.concatenate([lengths.sum(axis=1, keepdims=True), lengths, np.radians(parameters[:, 3:])], axis=1)


@cache
def _linear_parts(number: int) -> tuple[Array, Array, NDArray[np.int64]]:
    """Distinct linear parts of a group's cosets `[m, 3, 3]`, their transposed inverses, and the part of each coset."""
    linear = np.array([p for p, _ in space_group(number).cosets])
    first: dict[bytes, int] = {}
    which = np.array([first.setdefault(p.tobytes(), len(first)) for p in linear])
    parts = np.array([linear[np.flatnonzero(which == i)[0]] for i in range(len(first))])
    return parts, np.swapaxes(np.linalg.inv(parts), 1, 2), which


def _settings(group: SpaceGroup, cell: Array) -> tuple[Array, NDArray[np.int64], Array]:
    """Linear parts worth considering for this lattice, their indices, and their lattice parameters `[n, 6]`.

    Triclinic cells are Niggli-reduced before and varied by unimodular matrices; monoclinic ones keep the shears of the
    normaliser that give the shortest cell. Elsewhere the normaliser's own matrices are few and all are kept.
    """
    if group.system == "triclinic":
        parts, rows, vectors = _unimodular()
        lengths = np.linalg.norm(_short_vectors() @ cell, axis=1)
        totals = lengths[vectors].sum(axis=1)
        near = np.flatnonzero(totals <= totals.min() * (1 + TIE))  # a superset of what the key's first column keeps
        parts, parameters = parts[near], lattice_parameters(rows[near] @ cell)
        keep = smallest(_lattice_key(parameters))
    else:
        parts, rows, _ = _linear_parts(group.number)
        parameters = lattice_parameters(rows @ cell)
        keep = np.arange(len(parts))
        if group.system == "monoclinic":
            totals = _lattice_key(parameters)[:, 0]
            keep = np.flatnonzero(totals <= totals.min() + TIE)
    return parts[keep], keep, parameters[keep]


def _orbit_minimum(group: SpaceGroup, position: int, u: Array) -> Array:
    """Smallest equivalent representatives of free coordinates `u [n, 3]`, `[n, 3]`."""
    linear, shift = group.stabilisers[position]
    images = np.einsum("sij,nj->nsi", linear, u) + shift
    images %= 1.0
    images[images > 1.0 - TIE] -= 1.0
    if images.shape[1] == 1:
        return images[:, 0]
    return np.array([rows[smallest(rows)[0]] for rows in images])


def _describe(group: SpaceGroup, positions: NDArray[np.int64], ranks: NDArray[np.int64], coords: Array) -> Array:
    """Orbits in canonical order with minimal representatives: an index column then coordinates, `[k, 4]`."""
    smallest_coords = np.zeros_like(coords)
    for position in np.unique(positions):
        if group.degrees[position]:
            mine = positions == position
            smallest_coords[mine] = _orbit_minimum(group, int(position), coords[mine])
    rounded = np.round(smallest_coords / TIE)
    order = np.lexsort((rounded[:, 2], rounded[:, 1], rounded[:, 0], ranks, positions))
    return np.concatenate([order[:, None], smallest_coords[order]], axis=1)


def _origin_shifts(group: SpaceGroup, positions: NDArray[np.int64], ranks: NDArray[np.int64], u: Array) -> Array:
    """Shifts of `u` that put the free origin of a polar group on an atom of the rarest (letter, element), `[n, 3]`.

    Every atom of those orbits that stands in its template's form is tried: a screw axis or a glide plane makes origins
    half a period apart inequivalent under the group, though not under its normaliser.
    """
    if not group.polar:
        return np.zeros((1, 3))
    classes: dict[tuple[int, int], list[int]] = {}
    for index, key in enumerate(zip(positions.tolist(), ranks.tolist(), strict=True)):
        classes.setdefault(key, []).append(index)
    (position, _), members = min(classes.items(), key=lambda item: (len(item[1]), item[0]))
    linear, shift = group.stabilisers[position]
    images = (np.einsum("sij,nj->nsi", linear, u[members]) + shift).reshape(-1, 3)
    found = np.zeros_like(images)
    found[:, list(group.polar)] = images[:, list(group.polar)] % 1.0
    return np.unique(found.round(9), axis=0)


def canonical_code(
    number: int, positions: NDArray[np.int64], elements: NDArray[np.int64], coords: Array, cell: Array
) -> WyckoffCode:
    """The canonical code of a crystal given in any description of the standard setting.

    `positions [k]`, `elements [k]` (atomic numbers), `coords [k, 3]` free coordinates, `cell [3, 3]` rows in angstrom
    of the conventional cell (Niggli-reduced where triclinic).
    """
    group = space_group(number)
    ranks = mendeleev_rank()[elements]
    descriptions = _discrete(group, positions, ranks, coords, cell)
    lattice_keys = _lattice_key(np.array([d[3] for d in descriptions]))
    descriptions = [descriptions[i] for i in smallest(lattice_keys)]
    rows, finished = [], []
    for moved, u, index, parameters in descriptions:
        for shift in _origin_shifts(group, moved, ranks[index], u):
            described = _describe(group, moved, ranks[index], _minus(group, moved, u, shift))
            rows.append(described[:, 1:].ravel())
            finished.append((moved, described, index, parameters))
    moved, described, index, parameters = finished[smallest(np.array(rows))[0]]
    order = described[:, 0].astype(int)
    return WyckoffCode(number, moved[order], elements[index][order], described[:, 1:] % 1.0, parameters)


def _minus(group: SpaceGroup, positions: NDArray[np.int64], u: Array, shift: Array) -> Array:
    """Free coordinates after moving the origin along the polar axes; slots a template lacks stay zero."""
    free = np.array([[slot in group.positions[p].free for slot in range(3)] for p in positions])
    return np.where(free, u - shift, 0.0)


def _discrete(
    group: SpaceGroup, positions: NDArray[np.int64], ranks: NDArray[np.int64], coords: Array, cell: Array
) -> list[Description]:
    """Rules 1 and 2: the descriptions with the smallest discrete key."""
    target, linear, shift = group.coset_images
    settings, keep, parameters = _settings(group, cell)
    if group.system == "triclinic":
        starts = [_retransform(group, positions, coords, part) for part in settings]
        tried = [(i, k) for k in range(len(settings)) for i in range(len(group.cosets))]
    else:
        starts = [(positions, coords)] * len(settings)
        place = {part: k for k, part in enumerate(keep.tolist())}
        tried = [(i, place[part]) for i, part in enumerate(_linear_parts(group.number)[2].tolist()) if part in place]
    cosets = np.array([i for i, _ in tried])
    moved = target[cosets[:, None], np.array([starts[k][0] for _, k in tried])]  # [n, orbits]
    merged = moved * RANKS + ranks
    orders = np.argsort(merged, axis=1, kind="stable")
    merged = np.take_along_axis(merged, orders, axis=1)
    keys = np.concatenate([merged // RANKS, merged % RANKS], axis=1)
    descriptions = []
    for row in _smallest_rows(keys):
        i, k = tried[row]
        where, u = starts[k]
        images = np.einsum("kij,kj->ki", linear[i, where], u) + shift[i, where]
        order = orders[row]
        descriptions.append((moved[row, order], images[order], order, parameters[k]))
    return descriptions


def _smallest_rows(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """All rows of `keys [n, m]` that equal the lexicographically smallest."""
    left = np.arange(len(keys))
    for column in range(keys.shape[1]):
        if len(left) == 1:
            break
        values = keys[left, column]
        left = left[values == values.min()]
    return left


def _retransform(
    group: SpaceGroup, positions: NDArray[np.int64], coords: Array, part: Array
) -> tuple[NDArray[np.int64], Array]:
    """Positions and free coordinates after a change of basis with the origin kept (triclinic groups only)."""
    moved, u = positions.copy(), coords.copy()
    for k, position in enumerate(positions):
        template = group.positions[position]
        site = group.identify(part @ (template.linear @ coords[k] + template.shift))
        assert site is not None  # a unimodular change of basis maps inversion centres to inversion centres
        moved[k], u[k] = site
    return moved, u
