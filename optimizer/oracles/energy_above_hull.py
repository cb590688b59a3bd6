"""Distance of the crystal as given (put `relax` before it) from the convex hull of known and competing phases.

The crystal is no vertex of that hull: a negative value lies below everything that is compared with it. Known phases are
the crystals of a table, with this potential's energies, and with CHGNet and SevenNet the compounds that the Materials
Project holds stable (`optimizer.stable_phases`). A crystal near that hull competes with others of its composition,
which are made (`optimizer.competing`), as are phases where nothing is known: outside the budget, counted in `details`.
The flag `hull_sparse` stands where a pair of the crystal's elements has no binary compound of either sort, and else
`far_below_hull` where the crystal lies so far below that some known phase must be missing. Known phases carry the
energy at their DFT geometry; relaxing lowers an energy by a few meV/atom, so relaxed crystals come out that much too
stable.
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
from generative.protocols import EncodeFailure
from generative.representations.wyckoff import fingerprint
from optimizer.calculators import CalculatorParams, Potential, potential
from optimizer.competing import DEFAULT_FORMULAS, require_cache
from optimizer.hull import judged_distance
from optimizer.measuring import one_by_one
from optimizer.references import ReferenceTable
from optimizer.relaxation import single_point_energy

if TYPE_CHECKING:
    from optimizer.protocols import OracleContext

ABOVE_HULL = Property(
    "energy_above_hull_ev_atom",
    "eV/atom",
    "Energy above the hull of known and competing phases; negative below all of them",
)


FAR_BELOW_EV_ATOM = -0.1
"""Four times the potential's mean error in sample: further below lies nothing unless the hull lacks a phase."""


class Params(CalculatorParams):
    """Which potential, which known phases, and how many phases are made where these are few."""

    reference: str | None = Field(
        None, description="A table made by `optimize references build`; the bundled one where absent."
    )
    competing_phases: int = Field(
        DEFAULT_FORMULAS,
        ge=0,
        le=50,
        description="Formulas made per pair and triple of elements of which too little is known; 0 for none.",
    )


@dataclass(frozen=True)
class EnergyAboveHullOracle:
    potential: Potential
    reference: str | None
    own: tuple[str, ...]
    formulas: int
    version: str
    properties: ClassVar[tuple[Property, ...]] = (ABOVE_HULL,)
    nominal_seconds: ClassVar[float] = 0.1  # of the crystal's own energy: competing phases are not budgeted
    of_geometry: ClassVar[bool] = True

    @property
    def notes(self) -> tuple[str, ...]:
        """For `optimize check`: what its times leave out."""
        made = "near the hull competing phases are made: some seconds for each new composition"
        return (f"{made}, once and kept, not in the time below",) if self.formulas else ()

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        return one_by_one(xs, self._measure)

    def _measure(self, crystal: Structure) -> Measured | Failed:
        energy = single_point_energy(crystal, self.potential.calculator)
        if isinstance(energy, Failed):
            return energy
        table = ReferenceTable.load(self.reference, self.own)
        mark = fingerprint(crystal)
        judged = judged_distance(
            crystal.composition,
            energy,
            "" if isinstance(mark, EncodeFailure) else mark,
            table=table,
            potential=self.potential,
            formulas=self.formulas,
        )
        if isinstance(judged, Failed):
            return judged
        hull = judged.distance
        flags = table.elements.flags(element.symbol for element in crystal.composition.elements)
        if hull.sparse:
            flags = ("hull_sparse", *flags)
        elif hull.value_ev_atom < FAR_BELOW_EV_ATOM:
            flags = ("far_below_hull", *flags)
        details = {
            "n_known_phases": hull.n_known_phases,
            "n_competing_phases": hull.n_competing,
            "sparse_edges": list(hull.sparse_edges),
            "decomposes_to": list(hull.decomposes_to),
            "competing_relaxations": {made.name: made.relaxations for made in judged.made if made.relaxations},
        }
        return Measured({ABOVE_HULL.name: hull.value_ev_atom}, crystal, flags, details)


def build(params: Params, context: OracleContext) -> EnergyAboveHullOracle:
    """Raises ValueError where the table cannot be read or is another potential's, or the cache cannot be written."""
    chosen = potential(params, context.device)
    reference = None if params.reference is None else str(Path(context.folder) / params.reference)
    try:
        table = ReferenceTable.load(reference, context.references)
    except UserError as error:
        raise ValueError(str(error)) from error
    if table.potential != chosen.version:
        place = "the bundled table" if reference is None else reference
        asked = f"{chosen.name} ({chosen.version})"
        raise ValueError(
            f"{place} holds energies of {table.potential}, but the calculator here is {asked}; "
            "make one with `optimize references build` and name it as `reference`"
        )
    if params.competing_phases:
        require_cache()
    made = f" competing_2-{params.competing_phases}" if params.competing_phases else ""
    version = f"energy_above_hull-3 {chosen.version} table-{table.version}{made}"
    return EnergyAboveHullOracle(chosen, reference, context.references, params.competing_phases, version)
