"""Free coordinates chosen under the condition that atoms keep apart.

The decoder gives every free coordinate a distribution. The most probable coordinates are taken, except in a crystal
where they would put two atoms closer than any two of those elements are found (`sites.closest_allowed`): there the
most probable combination of bins is taken that leaves room, orbit by orbit.
"""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np

from generative.sites import IMAGES, Atoms, Ints, closest_allowed, crowding, orbit_table, place, widths
from generative.symmetry import Array, space_group

BINS_TRIED = {1: 64, 2: 10, 3: 5}  # the most probable bins per axis, by the number of free axes
GRID = {1: 64, 2: 20, 3: 8}  # evenly spaced ones where none of those leaves room


def keep_apart(
    numbers: Ints, counts: Ints, positions: Ints, elements: Ints, coords: Array, cells: Array, scores: Array
) -> Array:
    """Coordinates `[n, K, 3]` of crystals whose atoms keep apart where the positions allow it.

    `numbers`, `counts [n]` (orbits), `positions`, `elements [n, K]`, `coords [n, K, 3]`, primitive `cells [n, 3, 3]`,
    `scores [n, K, 3, bins]` log probabilities of the free coordinates. Crystals that are fine are left as they are.
    """
    crystal, slot = np.nonzero(np.arange(positions.shape[1]) < counts[:, None])
    atoms = place(numbers, crystal, positions[crystal, slot], coords[crystal, slot])
    ratio, one, _ = crowding(atoms, elements[crystal, slot], cells)
    coords = coords.copy()
    for i in np.unique(crystal[one[ratio < 1]]):
        k = counts[i]
        coords[i, :k] = _spread(
            int(numbers[i]), positions[i, :k], elements[i, :k], coords[i, :k], cells[i], scores[i, :k]
        )
    return coords


def _spread(number: int, positions: Ints, elements: Ints, coords: Array, cell: Array, scores: Array) -> Array:
    """The same for one crystal: the orbit in the worst place is moved, at most twice as often as there are orbits."""
    group, coords = space_group(number), coords.copy()
    freedom = group.degrees[positions]
    moved = np.zeros(len(positions))
    for _ in range(2 * len(positions)):
        atoms = place(np.array([number]), np.zeros(len(positions), dtype=np.int64), positions, coords)
        ratio, one, other = crowding(atoms, elements, cell[None])
        worst = int(ratio.argmin())
        movable = [k for k in {int(one[worst]), int(other[worst])} if freedom[k]]
        if ratio[worst] >= 1 or not movable:
            break
        k = min(movable, key=lambda k: (moved[k], -k))  # the later orbit first, in turns
        moved[k] += 1
        coords[k] = _best_place(number, k, positions, elements, coords, cell, scores[k], atoms)
    return coords


def _best_place(
    number: int, k: int, positions: Ints, elements: Ints, coords: Array, cell: Array, scores: Array, atoms: Atoms
) -> Array:
    """Free coordinates `[3]` of orbit k: the most probable candidate that leaves room, else the roomiest one."""
    free = list(space_group(number).positions[positions[k]].free)
    rest = atoms.orbit != k
    allowed = closest_allowed()[elements[k]]
    best, room = coords[k], -1.0
    for bins in (_probable(scores, free), _even(scores.shape[-1], len(free))):
        candidates = np.zeros((len(bins), 3))
        candidates[:, free] = bins / scores.shape[-1]
        ratio = _room(
            number,
            int(positions[k]),
            candidates,
            atoms.local[rest],
            allowed[elements[atoms.orbit[rest]]],
            allowed[elements[k]],
            cell,
        )
        fits = ratio >= 1
        if fits.any():
            likelihood = sum(scores[axis, bins[:, i]] for i, axis in enumerate(free))
            return candidates[np.where(fits, likelihood, -np.inf).argmax()]
        if ratio.max() > room:
            best, room = candidates[ratio.argmax()], ratio.max()
    return best


def _probable(scores: Array, free: list[int]) -> Ints:
    top = [np.argsort(-scores[axis], kind="stable")[: BINS_TRIED[len(free)]] for axis in free]
    return np.array(list(itertools.product(*top)))


@cache
def _even(bins: int, axes: int) -> Ints:
    return np.array(list(itertools.product(range(0, bins, max(bins // GRID[axes], 1)), repeat=axes)))


def _room(
    number: int, position: int, candidates: Array, others: Array, allowed: Array, allowed_self: float, cell: Array
) -> Array:
    """Smallest distance over the allowed one, of an orbit at each of the `candidates [c, 3]`, `[c]`."""
    table = orbit_table()
    mine = slice(table.start[number, position], table.start[number, position] + table.size[number, position])
    own = (np.einsum("mij,cj->cmi", table.linear[mine], candidates) + table.shift[mine]) @ table.to_primitive[number]
    c, m = own.shape[:2]
    everyone = np.concatenate([own, np.broadcast_to(others, (c, len(others), 3))], axis=1)
    allowed = np.concatenate([np.full(m, allowed_self), allowed])
    difference = own[:, :1] - everyone
    difference -= np.rint(difference)
    straight = difference @ cell
    squares = np.einsum("cai,cai->ca", straight, straight)
    squares[:, 0] = np.inf
    thin = (widths(cell[None])[0] < 2 * allowed.max()) @ np.array([1, 2, 4])
    if thin:
        for off in IMAGES[int(thin)] @ cell:
            vectors = straight + off
            squares = np.minimum(squares, np.einsum("cai,cai->ca", vectors, vectors))
    return np.sqrt((squares / allowed**2).min(axis=1))
