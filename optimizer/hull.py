"""Distance to the hull of known phases, with competing phases made where it would be too empty to say anything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pymatgen.core import Composition

from campaigns.records import Failed
from optimizer.calculators import Potential
from optimizer.competing import MadeSet, competing_phases, polymorphs
from optimizer.references import HullDistance, KnownPhase, ReferenceTable

NEAR_EV_ATOM = 0.2
"""A crystal further above what is known already is no candidate, and more phases could only raise it: none are made."""
SAME_ENERGY_EV_ATOM = 0.005
"""Two relaxations of one crystal end no further apart."""


@dataclass(frozen=True)
class JudgedDistance:
    """A distance and the sets of made phases that took part, pairs of elements first."""

    distance: HullDistance
    made: tuple[MadeSet, ...]


def judged_distance(
    composition: Composition,
    energy_ev_atom: float,
    crystal_fingerprint: str,
    *,
    table: ReferenceTable,
    potential: Potential,
    formulas: int,
    without: str = "",
) -> JudgedDistance | Failed:
    """Distance of an energy on the scale of `potential`, whose table it is, from known and competing phases.

    Phases are made while the distance is below NEAR_EV_ATOM: other crystals of the composition, where it has two or
    three elements, then of pairs of the elements, then of triples; `formulas` as in `competing_phases`, 0 for none. A
    made phase with the crystal's own fingerprint, if not of clearly lower energy, is the crystal itself and no vertex.
    `without` leaves a known phase out, by id.
    """
    symbols = sorted(element.symbol for element in composition.elements)
    made: tuple[MadeSet, ...] = ()
    found = table.hull_distance(composition, energy_ev_atom, without=without)
    for size in (1, 2, 3):
        if isinstance(found, Failed):
            return found
        if not formulas or len(symbols) < max(size, 2) or found.value_ev_atom > NEAR_EV_ATOM:
            break
        if size > 1:
            made += competing_phases(symbols, size, potential, table, formulas)
        elif len(symbols) <= 3:
            made += (polymorphs(composition.reduced_formula, potential, table),)
        competing = competing_corners(made, crystal_fingerprint, energy_ev_atom)
        found = table.hull_distance(composition, energy_ev_atom, competing, without=without)
    return found if isinstance(found, Failed) else JudgedDistance(found, made)


def competing_corners(
    made: Iterable[MadeSet], crystal_fingerprint: str, energy_ev_atom: float
) -> tuple[KnownPhase, ...]:
    """All made phases but those that are the crystal itself: of its fingerprint, and not of clearly lower energy. A
    fingerprint leaves free coordinates out, so that crystals of the GeS and of the MnP type share one.
    """
    phases = (phase for each in made for phase in each.phases)
    return tuple(
        p.phase
        for p in phases
        if not p.fingerprint
        or p.fingerprint != crystal_fingerprint
        or p.energy_ev_atom < energy_ev_atom - SAME_ENERGY_EV_ATOM
    )
