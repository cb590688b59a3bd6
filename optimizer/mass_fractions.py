"""How much of a crystal's mass each element makes up."""

from __future__ import annotations

from pymatgen.core import Composition, Element


def mass_fractions(composition: Composition) -> dict[str, float]:
    """Symbol -> share of the mass, summing to 1. Raises ValueError where there is no atom, or one of no element."""
    amounts = composition.get_el_amt_dict()
    if not amounts:
        raise ValueError("there is no atom in it")
    masses = {symbol: amount * float(Element(symbol).data["Atomic mass"]) for symbol, amount in amounts.items()}
    total = sum(masses.values())
    return {symbol: mass / total for symbol, mass in masses.items()}
