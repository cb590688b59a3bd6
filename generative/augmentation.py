"""More prototypes per crystal: similar elements are exchanged, the cell rescaled, the code made canonical again."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from campaigns.elements import SYMBOLS
from generative.canonical import WyckoffCode, canonical_code
from generative.datasets import Codes
from generative.representations.wyckoff import lattice_matrix
from generative.symmetry import mendeleev_rank, space_group


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
def similar_elements(allowed: tuple[int, ...]) -> dict[int, NDArray[np.int64]]:
    """Atomic number -> those within three places in Mendeleev order or next to it in its column."""
    from pymatgen.core import Element

    rank = mendeleev_rank()
    elements = {z: Element(SYMBOLS[z - 1]) for z in allowed}
    return {
        z: np.array(
            [
                w
                for w in allowed
                if w != z
                and (
                    abs(int(rank[w]) - int(rank[z])) <= 3
                    or (elements[w].group == elements[z].group and abs(elements[w].row - elements[z].row) <= 1)
                )
            ]
        )
        for z in allowed
    }


def substitute(
    code: WyckoffCode, rng: np.random.Generator, volumes: NDArray[np.float64], allowed: tuple[int, ...]
) -> WyckoffCode | None:
    """Exchange each element with probability one half (at least one); None where no element has a free neighbour."""
    present = np.unique(code.elements)
    chosen = present[rng.random(len(present)) < 0.5]
    if len(chosen) == 0:
        chosen = present[[rng.integers(len(present))]]
    neighbours = similar_elements(allowed)
    exchange = {int(z): int(z) for z in present}
    for z in chosen:
        free = np.setdiff1d(neighbours.get(int(z), np.array([], dtype=int)), list(exchange.values()))
        if len(free):
            exchange[int(z)] = int(rng.choice(free))
    elements = np.array([exchange[int(z)] for z in code.elements])
    if np.array_equal(elements, code.elements):
        return None
    sizes = space_group(code.space_group).multiplicities[code.positions]
    growth = (sizes * volumes[elements]).sum() / (sizes * volumes[code.elements]).sum()
    cell = lattice_matrix(code.lattice) * growth ** (1 / 3)
    return canonical_code(code.space_group, code.positions, elements, code.coords, cell)


def substituted(codes: Codes, copies: int, seed: int) -> Iterator[WyckoffCode]:
    """`copies` substituted relatives of every code."""
    rng = np.random.default_rng(seed)
    volumes = element_volumes(codes)
    allowed = tuple(int(z) for z in np.unique(codes.elements[codes.elements > 0]))
    for i in range(len(codes)):
        code = codes.code(i)
        for _ in range(copies):
            relative = substitute(code, rng, volumes, allowed)
            if relative is not None:
                yield relative
