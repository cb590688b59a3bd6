"""More crystals per crystal: elements exchanged, coordinates and cell varied, the code made canonical again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from campaigns.elements import SYMBOLS
from generative.canonical import WyckoffCode, canonical_code
from generative.datasets import MAX_ORBITS, Codes
from generative.lattice_shape import SYSTEMS
from generative.representations.wyckoff import lattice_matrix
from generative.symmetry import Array, mendeleev_rank, space_group


def element_volumes(codes: Codes) -> NDArray[np.float64]:
    """Volume of one atom of each element (cubic angstrom), `[104]`, by non-negative least squares over the cells.

    Elements too rare to be fitted get the median.
    """
    counts = np.zeros((len(codes), len(SYMBOLS) + 1))
    volumes = np.zeros(len(codes))
    for i in range(len(codes)):
        code = codes.code(i)
        group = space_group(code.space_group)
        np.add.at(counts[i], code.elements, group.multiplicities[code.positions])
        volumes[i] = abs(np.linalg.det(group.primitive @ lattice_matrix(code.lattice)))
    weight = 1 / volumes[:, None]
    fitted = nnls(counts * weight, np.ones(len(codes)))[0]
    fitted[fitted < 2.0] = np.median(fitted[fitted >= 2.0])
    return fitted


@cache
def exchange_weights() -> NDArray[np.float64]:
    """How often elements take each other's place in known compounds, by atomic numbers, `[104, 104]`.

    Read from `data/exchanges.npz`; `generative.exchange_build.exchange_weights` computes it and names the source.
    """
    with np.load(Path(__file__).parent / "data" / "exchanges.npz") as table:
        return table["weights"]


@cache
def exchange_chances(allowed: tuple[int, ...]) -> dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Atomic number -> the elements that take its place in known compounds, and a weight that says how often.

    Elements without a pair among `allowed`: those within three places in Mendeleev order, alike.
    """
    weights, rank = exchange_weights(), mendeleev_rank()
    chances = {}
    for z in allowed:
        others = np.array([w for w in allowed if w != z], dtype=np.int64)
        weight = weights[z, others]
        if not weight.any():
            weight = (np.abs(rank[others] - rank[z]) <= 3).astype(float)
        kept = weight > 0
        chances[z] = others[kept], weight[kept]
    return chances


@dataclass(frozen=True)
class Augmentation:
    """How far a relative strays from its crystal. Probabilities are per crystal unless said otherwise."""

    exchange: float = 0.4  # per element: another element takes its place
    distant: float = 0.02  # that element is any of the data set, not one that is found in its place
    rearrange: float = 0.1  # one orbit moves to another position, comes or goes, or the elements change places
    coordinates: float = 0.02  # largest standard deviation of a shift of the free coordinates, drawn up to it
    lengths: float = 0.02  # the same for the logarithms of the lengths
    angles_deg: float = 1.0  # the same for free angles


def substitute(
    code: WyckoffCode,
    rng: np.random.Generator,
    volumes: NDArray[np.float64],
    allowed: tuple[int, ...],
    augmentation: Augmentation | None = None,
) -> WyckoffCode | None:
    """A relative of a crystal: other elements, coordinates and lengths, sometimes another prototype.

    The cell is scaled by the volumes of the elements. None where nothing could be varied or the cell does not close.
    """
    how = augmentation or Augmentation()
    positions, elements, coords = code.positions, _exchanged(code.elements, rng, allowed, how), code.coords
    if rng.random() < how.rearrange:
        positions, elements, coords = _rearranged(code.space_group, positions, elements, coords, rng)
    elif np.array_equal(elements, code.elements) and not (how.coordinates or how.lengths or how.angles_deg):
        return None
    group = space_group(code.space_group)
    free = np.array([[slot in group.positions[j].free for slot in range(3)] for j in positions])
    coords = coords + rng.normal(0, how.coordinates * rng.random(), coords.shape) * free
    lattice = _strained(code.lattice, group.system, rng, how)
    if lattice is None:
        return None
    amount = (group.multiplicities[positions] * volumes[elements]).sum()
    growth = amount / (group.multiplicities[code.positions] * volumes[code.elements]).sum()
    cell = lattice_matrix(lattice) * growth ** (1 / 3)
    return canonical_code(code.space_group, positions, elements, coords, cell)


def _exchanged(
    elements: NDArray[np.int64], rng: np.random.Generator, allowed: tuple[int, ...], how: Augmentation
) -> NDArray[np.int64]:
    """Each element exchanged with the stated probability, at least one; no two become the same."""
    present = np.unique(elements).tolist()
    chosen = [z for z in present if rng.random() < how.exchange] or [present[rng.integers(len(present))]]
    likely, exchange = exchange_chances(allowed), {z: z for z in present}
    for z in chosen:
        choices, chances = likely[z]
        if rng.random() < how.distant:
            choices = np.array(allowed)
            chances = np.ones(len(choices))
        chances = chances * ~np.isin(choices, list(exchange.values()))
        if chances.any():
            exchange[z] = int(rng.choice(choices, p=chances / chances.sum()))
    return np.array([exchange[z] for z in elements.tolist()])


def _rearranged(
    number: int, positions: NDArray[np.int64], elements: NDArray[np.int64], coords: Array, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """One step to another prototype of the same space group; the number of atoms grows by at most one orbit's."""
    group, k = space_group(number), len(positions)
    taken = {j for j in positions.tolist() if not group.degrees[j]}
    open_positions = [j for j in range(len(group.positions)) if j not in taken]
    kind, one = rng.integers(4), int(rng.integers(k))
    if kind == 0:
        return positions, rng.permutation(elements), coords
    if kind == 1 and k > 2:
        keep = np.arange(k) != one
        return positions[keep], elements[keep], coords[keep]
    size = group.multiplicities[positions[one]]
    open_positions = [j for j in open_positions if group.multiplicities[j] == size]
    if not open_positions or (kind == 2 and k >= MAX_ORBITS):
        return positions, elements, coords
    position = open_positions[rng.integers(len(open_positions))]
    if kind == 2 and size * 4 <= group.multiplicities[positions].sum():
        element = elements[[rng.integers(k)]]
        at = rng.random((1, 3)) * [slot in group.positions[position].free for slot in range(3)]
        return np.append(positions, position), np.append(elements, element), np.concatenate([coords, at])
    positions, coords = positions.copy(), coords.copy()
    positions[one] = position
    coords[one] = [u if slot in group.positions[position].free else 0 for slot, u in enumerate(rng.random(3))]
    return positions, elements, coords


def _strained(lattice: Array, system: str, rng: np.random.Generator, how: Augmentation) -> Array | None:
    """Lattice parameters after a strain that the lattice system allows, the volume changing too; None if it closes
    no cell."""
    free = SYSTEMS[system]
    strain = how.lengths * rng.random() * rng.normal(size=3)
    a = strain[0]
    b = strain[1] if free[0] else a
    c = strain[2] if free[1] else a
    angles = lattice[3:] + np.array(free[2:]) * how.angles_deg * rng.random() * rng.normal(size=3)
    ca, cb, cg = np.cos(np.radians(angles))
    if 1 + 2 * ca * cb * cg - ca**2 - cb**2 - cg**2 < 0.05:
        return None
    return np.concatenate([lattice[:3] * np.exp([a, b, c]), angles])


def substituted(
    codes: Codes, copies: int, seed: int, augmentation: Augmentation | None = None
) -> Iterator[WyckoffCode]:
    """`copies` relatives of every code."""
    rng = np.random.default_rng(seed)
    volumes = element_volumes(codes)
    allowed = tuple(int(z) for z in np.unique(codes.elements[codes.elements > 0]))
    for i in range(len(codes)):
        code = codes.code(i)
        for _ in range(copies):
            relative = substitute(code, rng, volumes, allowed, augmentation)
            if relative is not None:
                yield relative
