"""Can a formula be charge-balanced?"""

from __future__ import annotations

from functools import lru_cache

from pymatgen.core import Composition

MOST_ELEMENTS = 6  # smact tries every combination of oxidation states, and they multiply with every element
RULE = (
    "smact_validity(include_alloys=False, use_pauling_test=True, mixed_valence=False), oxidation states ICSD24; "
    f"more than {MOST_ELEMENTS} elements count as not neutral"
)


@lru_cache(maxsize=65_536)
def charge_neutral(reduced_formula: str) -> bool:
    """smact's validity without its pass for alloys: one oxidation state an element, summing to zero, Pauling's test.

    States are smact's ICSD24 set at its default filter, so mixed-valence compounds such as Fe3O4 do not pass, nor do
    intermetallics; a single element does. A coarse sieve: of 400 Materials Project crystals of at most 20 atoms 68 %
    pass, and 36 % when their elements are replaced at random.
    """
    from smact.screening import smact_validity

    chosen = Composition(reduced_formula)
    if len(chosen) > MOST_ELEMENTS:
        return False
    return bool(smact_validity(chosen, include_alloys=False, use_pauling_test=True, mixed_valence=False))
