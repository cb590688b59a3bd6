"""How much of a crystal's mass each element makes up."""

from __future__ import annotations

from pymatgen.core import Composition


def mass_fractions(composition: Composition) -> dict[str, float]:
    """Symbol -> share of the mass, summing to 1. Raises ValueError for a composition of nothing."""
    masses = {element.symbol: float(amount * element.atomic_mass) for element, amount in composition.items()}
    if not masses:
        raise ValueError("there is no atom in it")
    total = sum(masses.values())
    return {symbol: mass / total for symbol, mass in masses.items()}
