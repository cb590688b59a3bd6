"""The hull of the known phases at any composition, for thousands of crystals, over plain arrays.

`ReferenceTable.hull_distance` gives the same number with the phases it is made of, some forty times slower.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.spatial import ConvexHull

from campaigns.elements import SYMBOLS
from optimizer.formulas import COLUMN_OF, atomic_fractions, elements_of
from optimizer.references import ReferenceTable

QHULL_UP_TO = 5  # elements; a facet's plane is then found some ten times sooner than a linear programme is solved
VERTICAL = 1e-9  # last component of a unit normal at which a facet bounds no energy


class KnownHull:
    """Known compounds, the lowest of each formula, with formation energies in eV/atom."""

    def __init__(self, table: ReferenceTable) -> None:
        references = table.elements.energy_ev_atom
        self._elements = frozenset(references)
        lowest: dict[str, float] = {}
        formulas, _, energies = table.only_listed
        for formula, energy in zip(
            (*table.formulas, *formulas), (*table.energies_ev_atom.tolist(), *energies.tolist()), strict=True
        ):
            if np.isfinite(energy) and len(elements_of(formula)) > 1 and elements_of(formula) <= self._elements:
                lowest[formula] = min(energy, lowest.get(formula, np.inf))
        self._fractions = atomic_fractions(lowest)  # [n, 103]
        levels = np.array([references.get(symbol, 0.0) for symbol in SYMBOLS])
        self._formation = np.array(list(lowest.values())) - self._fractions @ levels
        self._systems = Systems(self._fractions)

    def at(self, fractions: dict[str, float]) -> tuple[float, int]:
        """Formation energy of the hull at a composition (eV/atom), and how many pairs of its elements have no compound.

        (0, 0) for an element alone and where an element has no reference energy.
        """
        symbols = sorted(fractions)
        if len(symbols) < 2 or not self._elements.issuperset(symbols):
            return 0.0, 0
        places = np.array([COLUMN_OF[symbol] for symbol in symbols])
        inside = self._systems.inside(places)
        held = self._fractions[np.ix_(inside, places)]
        kinds = {tuple(row) for row in (held > 0).tolist() if sum(row) == 2}
        sparse = sum(
            tuple(place in pair for place in range(len(symbols))) not in kinds
            for pair in combinations(range(len(symbols)), 2)
        )
        useful = self._formation[inside] < 0
        if not useful.any():
            return 0.0, sparse
        wanted = np.array([fractions[symbol] for symbol in symbols])
        return lowest_mixture(held[useful], self._formation[inside][useful], wanted / wanted.sum()), sparse


class Systems:
    """Which rows of `fractions [n, 103]` have which elements."""

    def __init__(self, fractions: NDArray[np.float64]) -> None:
        found: dict[tuple[int, ...], list[int]] = {}
        for row, present in enumerate(fractions > 0):
            found.setdefault(tuple(np.flatnonzero(present).tolist()), []).append(row)
        self._rows = found
        self._most = max(map(len, found), default=0)

    def inside(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows that have no element but those at `places`."""
        wanted = sorted(places.tolist())
        sizes = range(1, min(len(wanted), self._most) + 1)
        if sum(comb(len(wanted), size) for size in sizes) < len(self._rows):
            systems = [each for size in sizes for each in combinations(wanted, size)]
        else:  # of twenty elements there are more combinations than known systems
            systems = [each for each in self._rows if set(each).issubset(wanted)]
        return np.array(sorted(row for each in systems for row in self._rows.get(each, ())), dtype=np.int64)


def lowest_mixture(held: NDArray[np.float64], energies: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    """The least energy of any mixture of phases and elements (at 0) that has the wanted fractions.

    `held [n, k]` are atomic fractions of n phases, `energies [n]` per atom and below 0, `wanted [k]` adds up to 1.
    """
    k = len(wanted)
    if k > QHULL_UP_TO:
        # what the phases do not use is left to the elements, so the elements need no columns of their own
        return float(linprog(energies, A_ub=held.T, b_ub=wanted, bounds=(0, None), method="highs").fun)
    corners = np.vstack([held, np.eye(k)])[:, :-1]
    points = np.column_stack([corners, np.concatenate([energies, np.zeros(k)])])
    planes = ConvexHull(points).equations  # [f, k + 1], outward: normal @ point + offset is 0 on a facet
    lower = planes[planes[:, -2] < -VERTICAL]
    return float((-(lower[:, :-2] @ wanted[:-1] + lower[:, -1]) / lower[:, -2]).max())


@lru_cache(maxsize=4)
def known_hull(table: ReferenceTable) -> KnownHull:
    """Of this table, made once."""
    return KnownHull(table)
