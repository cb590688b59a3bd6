"""Formation energy of the crystal as given (put `relax` before it), from a potential and the elements'
reference energies.

The energies of CHGNet, of SevenNet as its calculator gives them, and the references are all on the Materials Project's
corrected scale; nothing is corrected here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pymatgen.core import Structure

from campaigns.records import Failed, Measured, Property
from optimizer.calculators import CalculatorParams, Potential, potential
from optimizer.elemental_references import elemental_references, require_mp2020
from optimizer.measuring import one_by_one
from optimizer.relaxation import single_point_energy

if TYPE_CHECKING:
    from optimizer.protocols import OracleContext

FORMATION_ENERGY = Property("formation_energy_ev_atom", "eV/atom", "Energy against the elements' ground states")


class Params(CalculatorParams):
    """Which potential; only chgnet and sevennet have reference energies."""


@dataclass(frozen=True)
class FormationEnergyOracle:
    potential: Potential
    version: str
    properties: ClassVar[tuple[Property, ...]] = (FORMATION_ENERGY,)
    nominal_seconds: ClassVar[float] = 0.05
    of_geometry: ClassVar[bool] = True

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        return one_by_one(xs, self._measure)

    def _measure(self, crystal: Structure) -> Measured | Failed:
        references = elemental_references()
        symbols = [element.symbol for element in crystal.composition.elements]
        if missing := references.missing(symbols):
            return missing
        energy = single_point_energy(crystal, self.potential.calculator)
        if isinstance(energy, Failed):
            return energy
        value = references.formation_energy(crystal.composition, energy)
        return Measured({FORMATION_ENERGY.name: value}, crystal, references.flags(symbols))


def build(params: Params, context: OracleContext) -> FormationEnergyOracle:
    """Raises ValueError for a potential without reference energies."""
    chosen = potential(params, context.device)
    require_mp2020(chosen, "formation_energy")
    return FormationEnergyOracle(chosen, f"formation_energy-1 {chosen.version}")
