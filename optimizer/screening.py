"""Is a crystal inside the search space? Cheap checks in the order of their cost, before any oracle is
asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import moyopy
import numpy as np
from pymatgen.core import Composition, Structure

from campaigns.records import FailureCode
from campaigns.search_space import SearchSpace
from generative.neutrality import charge_neutral
from optimizer.distances import pairs_within

SYMPREC_ANG = 0.1


@dataclass(frozen=True)
class ScreenFailure:
    """Why a crystal is outside: OUTSIDE_SPACE, TOO_CLOSE or NOT_NEUTRAL, and the reason in words."""

    code: FailureCode
    message: str


def screen(crystal: Structure, space: SearchSpace) -> ScreenFailure | None:
    """None for a crystal inside `space`, else the first check that it fails.

    Elements, their number, the formula, distances (an atom's own images included), atoms in the primitive
    cell and the space group (moyopy at symprec 0.1 angstrom), charge neutrality.
    """
    return (
        _composition_failure(crystal, space)
        or _distance_failure(crystal, space)
        or _symmetry_failure(crystal, space)
        or _charge_failure(crystal, space)
    )


def _composition_failure(crystal: Structure, space: SearchSpace) -> ScreenFailure | None:
    symbols = {element.symbol for element in crystal.composition.elements}
    if outside := symbols - space.elements.allowed:
        return _outside(f"holds {', '.join(sorted(outside))}")
    if lacking := space.elements.required - symbols:
        return _outside(f"lacks {', '.join(sorted(lacking))}")
    if len(symbols) not in space.n_elements:
        return _outside(f"has {len(symbols)} elements, outside n_elements")
    if space.formula is not None and crystal.composition.reduced_composition != _reduced(space.formula):
        return _outside(f"is {crystal.composition.reduced_formula}, not {space.formula}")
    return None


def _distance_failure(crystal: Structure, space: SearchSpace) -> ScreenFailure | None:
    pair_limits = space.min_pair_distances_ang
    radius = max([space.min_distance_ang, *pair_limits.values()])
    first, second, distance = pairs_within(crystal.lattice.matrix, crystal.cart_coords, radius)
    if not len(distance):
        return None
    closest = int(np.argmin(distance))
    symbols = [site.specie.symbol for site in crystal]
    if distance[closest] < space.min_distance_ang:
        a, b = symbols[first[closest]], symbols[second[closest]]
        return _too_close(a, b, distance[closest], space.min_distance_ang)
    for pair, limit in pair_limits.items():
        a, b = pair.split("-")
        for i, j, d in zip(first, second, distance, strict=True):
            if d < limit and (symbols[i], symbols[j]) in ((a, b), (b, a)):
                return _too_close(symbols[i], symbols[j], d, limit)
    return None


def _symmetry_failure(crystal: Structure, space: SearchSpace) -> ScreenFailure | None:
    """Symmetry is looked for only where it can matter: a primitive cell is never larger than the cell given, and has an
    atom of each element."""
    at_least = len(crystal.composition.elements)
    if space.space_groups is None and space.n_atoms.low <= at_least and len(crystal) <= space.n_atoms.high:
        return None
    cell = moyopy.Cell(crystal.lattice.matrix.tolist(), crystal.frac_coords.tolist(), list(crystal.atomic_numbers))
    try:
        found = moyopy.MoyoDataset(cell, symprec=SYMPREC_ANG)
    except ValueError as error:
        return _outside(f"has no space group at symprec {SYMPREC_ANG}: {error}")
    n_atoms = len(found.prim_std_cell.numbers)
    if n_atoms not in space.n_atoms:
        return _outside(f"has {n_atoms} atoms in its primitive cell, outside n_atoms")
    if space.space_groups is not None and found.number not in space.space_groups:
        return _outside(f"has space group {found.number}, not among space_groups")
    return None


def _charge_failure(crystal: Structure, space: SearchSpace) -> ScreenFailure | None:
    if not space.charge_neutral or charge_neutral(crystal.composition.reduced_formula):
        return None
    formula = crystal.composition.reduced_formula
    return ScreenFailure(FailureCode.NOT_NEUTRAL, f"{formula} cannot be charge-balanced")


def _outside(message: str) -> ScreenFailure:
    return ScreenFailure(FailureCode.OUTSIDE_SPACE, message)


def _too_close(a: str, b: str, distance: float, limit: float) -> ScreenFailure:
    return ScreenFailure(FailureCode.TOO_CLOSE, f"{a} and {b} are {distance:.2f} angstrom apart, below {limit:g}")


@lru_cache(maxsize=16)
def _reduced(formula: str) -> Composition:
    return Composition(formula).reduced_composition
