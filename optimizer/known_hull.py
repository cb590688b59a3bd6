"""The hull of the known phases at any composition, for thousands of crystals: a linear programme over plain arrays.

`ReferenceTable.hull_distance` gives the same number with the phases it is made of, twenty times slower.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from campaigns.elements import SYMBOLS
from optimizer.formulas import COLUMN_OF, atomic_fractions, elements_of
from optimizer.references import ReferenceTable


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
        self._present = np.packbits(self._fractions > 0, axis=1)  # [n, 13] uint8

    def at(self, fractions: dict[str, float]) -> tuple[float, int]:
        """Formation energy of the hull at a composition (eV/atom), and how many pairs of its elements have no compound.

        (0, 0) for an element alone and where an element has no reference energy.
        """
        symbols = sorted(fractions)
        if len(symbols) < 2 or not self._elements.issuperset(symbols):
            return 0.0, 0
        places = np.array([COLUMN_OF[symbol] for symbol in symbols])
        inside = made_of(self._present, places)
        held = self._fractions[np.ix_(inside, places)]
        kinds = {tuple(row) for row in (held > 0).tolist() if sum(row) == 2}
        sparse = sum(
            tuple(place in pair for place in range(len(symbols))) not in kinds
            for pair in combinations(range(len(symbols)), 2)
        )
        useful = self._formation[inside] < 0
        if not useful.any():
            return 0.0, sparse
        return lowest_mixture(held[useful], self._formation[inside][useful], [fractions[s] for s in symbols]), sparse


def made_of(present: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of `present [n, 13]`, packed bits by element, that have no element but those at `places`."""
    allowed = np.zeros(len(SYMBOLS), dtype=bool)
    allowed[places] = True
    return np.flatnonzero(~(present & ~np.packbits(allowed)).any(axis=1))


def lowest_mixture(held: NDArray[np.float64], energies: NDArray[np.float64], wanted: list[float]) -> float:
    """The least energy of any mixture of phases and elements (at 0) that has the wanted fractions."""
    # what the phases do not use is left to the elements, so the elements need no columns of their own
    found = linprog(energies, A_ub=held.T, b_ub=np.array(wanted) / sum(wanted), bounds=(0, None), method="highs")
    return float(found.fun)


@lru_cache(maxsize=4)
def known_hull(table: ReferenceTable) -> KnownHull:
    """Of this table, made once."""
    return KnownHull(table)
