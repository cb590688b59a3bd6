"""Is the crystal as given (put `relax` before it) a minimum? Its atoms are pushed aside in a supercell and relaxed.

Flagged `dynamically_unstable` where a pushed crystal ends more than `tolerance_mev_atom` below the one given; a
constraint like `instability_ev_atom: {max: 0.002}` keeps such crystals off the list. Cheap beside a phonon calculation,
and weaker: vibrations that do not fit the supercell are not seen, nor what would change the cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pymatgen.core import Structure

from campaigns.records import Failed, FailureCode, Measured, Property
from optimizer.calculators import CalculatorParams, Potential, potential
from optimizer.measuring import one_by_one
from optimizer.perturbation import PerturbationLimits, perturb_and_relax

if TYPE_CHECKING:
    from optimizer.protocols import OracleContext

DROP = Property(
    "instability_ev_atom", "eV/atom", "How far below itself the crystal falls when its atoms are pushed; 0 where stable"
)
DISPLACEMENT = Property("instability_ang", "angstrom", "Farthest that a pushed atom ends from where it was")


class Params(CalculatorParams):
    """Which potential, which supercell, and how hard the atoms are pushed."""

    amplitude_ang: float = Field(0.1, gt=0, le=0.5, description="Standard deviation of the push per axis (angstrom).")
    trials: int = Field(2, ge=1, le=20, description="Pushes, each another; the one that falls furthest counts.")
    tolerance_mev_atom: float = Field(2.0, gt=0, description="A larger fall is flagged (meV/atom).")
    min_length_ang: float = Field(5.0, gt=0, le=30, description="Supercell vectors at least this long (angstrom) ...")
    max_atoms: int = Field(40, ge=1, le=500, description="... as long as it holds no more atoms.")
    max_ion_steps: int = Field(150, ge=1, description="Optimiser steps per push.")
    max_seconds: float = Field(300.0, gt=0, description="Last resort: wall seconds before `timed_out`.")


@dataclass(frozen=True)
class DynamicalStabilityOracle:
    potential: Potential
    limits: PerturbationLimits
    tolerance_ev_atom: float
    version: str
    properties: ClassVar[tuple[Property, ...]] = (DROP, DISPLACEMENT)
    nominal_seconds: ClassVar[float] = 8.0  # 2 to 30 s, by size and by how far it falls
    of_geometry: ClassVar[bool] = True

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        return one_by_one(xs, lambda crystal: self._measure(crystal, seed))

    def _measure(self, crystal: Structure, seed: int) -> Measured | Failed:
        found = perturb_and_relax(crystal, self.potential.calculator, self.limits, seed=seed)
        if isinstance(found, Failed):
            return found
        unstable = found.energy_drop_ev_atom > self.tolerance_ev_atom
        if not found.settled and not unstable:  # it may still fall further
            said = f"pushed atoms have not settled in {self.limits.max_ion_steps} steps"
            return Failed(FailureCode.UNCONVERGED, said)
        values = {DROP.name: max(0.0, found.energy_drop_ev_atom), DISPLACEMENT.name: found.displacement_ang}
        flags = ("dynamically_unstable",) if unstable else ()
        details = {"supercell": list(found.repeats), "n_atoms": found.n_atoms, "steps": found.steps}
        return Measured(values, crystal, flags, details)


def build(params: Params, context: OracleContext) -> DynamicalStabilityOracle:
    """Raises ValueError where the calculator cannot be had."""
    chosen = potential(params, context.device)
    limits = PerturbationLimits(
        amplitude_ang=params.amplitude_ang,
        trials=params.trials,
        min_length_ang=params.min_length_ang,
        max_atoms=params.max_atoms,
        max_ion_steps=params.max_ion_steps,
        max_seconds=params.max_seconds,
    )
    version = f"dynamical_stability-1 {chosen.version}"
    return DynamicalStabilityOracle(chosen, limits, params.tolerance_mev_atom / 1000, version)
