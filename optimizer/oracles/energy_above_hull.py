"""Distance of the crystal as given (put `relax` before it) from the convex hull of the known phases.

The crystal is no vertex of that hull: a negative value lies below everything known. The table of known phases
is far from complete, so a value says little where `n_known_phases` is small or the flag `hull_sparse` stands:
then at least one pair of the crystal's elements has no known binary compound. Known phases carry CHGNet's
energy at their DFT geometry; relaxing lowers an energy by a few meV/atom, so relaxed crystals come out that
much too stable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pymatgen.core import Structure

from campaigns.errors import UserError
from campaigns.records import Failed, Measured, Property
from optimizer.calculators import CalculatorParams, Potential, potential
from optimizer.elemental_references import elemental_references, require_chgnet
from optimizer.measuring import one_by_one
from optimizer.references import ReferenceTable
from optimizer.relaxation import single_point_energy

if TYPE_CHECKING:
    from optimizer.protocols import OracleContext

ABOVE_HULL = Property(
    "energy_above_hull_ev_atom",
    "eV/atom",
    "Energy above the hull of known phases; negative below everything known",
)


class Params(CalculatorParams):
    """Which potential (only chgnet has reference energies) and which known phases."""

    reference: str | None = Field(
        None,
        description="A table made by `python -m optimizer.reference_build`; the bundled one where absent.",
    )


@dataclass(frozen=True)
class EnergyAboveHullOracle:
    potential: Potential
    reference: str | None
    version: str
    properties: ClassVar[tuple[Property, ...]] = (ABOVE_HULL,)
    nominal_seconds: ClassVar[float] = 0.1
    of_geometry: ClassVar[bool] = True

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        return one_by_one(xs, self._measure)

    def _measure(self, crystal: Structure) -> Measured | Failed:
        energy = single_point_energy(crystal, self.potential.calculator)
        if isinstance(energy, Failed):
            return energy
        hull = ReferenceTable.load(self.reference).hull_distance(crystal.composition, energy)
        if isinstance(hull, Failed):
            return hull
        flags = elemental_references().flags(element.symbol for element in crystal.composition.elements)
        if hull.sparse:
            flags = ("hull_sparse", *flags)
        details = {"n_known_phases": hull.n_known_phases, "sparse_edges": list(hull.sparse_edges)}
        return Measured({ABOVE_HULL.name: hull.value_ev_atom}, crystal, flags, details)


def build(params: Params, context: OracleContext) -> EnergyAboveHullOracle:
    """Raises ValueError for a potential without reference energies or a table that cannot be read."""
    chosen = potential(params, context.device)
    require_chgnet(chosen, "energy_above_hull")
    reference = None if params.reference is None else str(Path(context.folder) / params.reference)
    try:
        table = ReferenceTable.load(reference)
    except UserError as error:
        raise ValueError(str(error)) from error
    return EnergyAboveHullOracle(chosen, reference, f"energy_above_hull-1 {chosen.version} table-{table.version}")
