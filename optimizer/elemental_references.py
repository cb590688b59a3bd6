"""Elements' ground-state energies on CHGNet's scale, the zero of formation energies.

With these (the Materials Project's own, see DATA-LICENSES.md) CHGNet's formation energies of 16,857 crystals
at the DFT geometry lie 0.022 eV/atom from their labels on average; with elements computed by CHGNet itself,
0.042 to 0.062.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pymatgen.core import Composition

from campaigns.records import Failed, FailureCode
from optimizer.calculators import MP2020_POTENTIALS, Potential


@dataclass(frozen=True)
class ElementalReferences:
    """Element -> energy of its ground state, eV/atom. `fitted` names those from a fit, not from DFT."""

    energy_ev_atom: dict[str, float]
    fitted: frozenset[str]

    def missing(self, elements: Iterable[str]) -> Failed | None:
        """NO_REFERENCE naming the elements without an energy, or None."""
        if absent := sorted(set(elements) - set(self.energy_ev_atom)):
            return Failed(FailureCode.NO_REFERENCE, f"no elemental reference energy for {', '.join(absent)}")
        return None

    def formation_energy(self, composition: Composition, energy_ev_atom: float) -> float:
        """Formation energy in eV/atom. Raises KeyError for an element without reference (see `missing`)."""
        amounts = composition.fractional_composition.get_el_amt_dict()
        return energy_ev_atom - sum(self.energy_ev_atom[element] * x for element, x in amounts.items())

    def flags(self, elements: Iterable[str]) -> tuple[str, ...]:
        """`fitted_reference` where an element's energy comes from a fit."""
        return ("fitted_reference",) if self.fitted & set(elements) else ()


@cache
def elemental_references() -> ElementalReferences:
    """The bundled table: 88 elements from DFT and Yb from a fit."""
    data = json.loads(files("optimizer").joinpath("data/elements.json").read_text(encoding="utf-8"))
    fitted = data["fitted"]["energy_ev_atom"]
    return ElementalReferences({**data["energy_ev_atom"], **fitted}, frozenset(fitted))


def require_mp2020(potential: Potential, purpose: str) -> None:
    """Raises ValueError for a potential whose energies are not on the scale of the bundled references."""
    if potential.version not in MP2020_POTENTIALS:
        raise ValueError(
            f"{purpose} has reference energies for chgnet and sevennet, not for {potential.name}; "
            "write `calculator: chgnet` here, or take this oracle out"
        )
