"""Bulk modulus from a Birch-Murnaghan equation of state around the crystal as given (put `relax` before it).

The cell keeps its shape while its volume changes, so for crystals that are not cubic this is the modulus at
fixed axial ratios and angles, an upper bound of the one under hydrostatic pressure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pymatgen.core import Structure

from campaigns.records import Failed, Measured, Property
from optimizer.calculators import CalculatorParams, Potential, potential
from optimizer.equation_of_state import EquationOfStateLimits, equation_of_state
from optimizer.measuring import one_by_one

if TYPE_CHECKING:
    from optimizer.protocols import OracleContext

BULK_MODULUS = Property("bulk_modulus_gpa", "GPa", "Bulk modulus at zero pressure, third-order Birch-Murnaghan")
SUSPICIOUS_GPA = 500.0
"""No known solid is stiffer: diamond has 443 GPa, osmium 462 GPa."""


class Params(CalculatorParams):
    """Which potential, which volumes, and what counts as a good fit."""

    strain: float = Field(0.06, gt=0, le=0.15, description="Largest relative change of volume, both ways.")
    n_volumes: int = Field(7, ge=5, le=21, description="Volumes computed; odd, so that the middle is among them.")
    fmax_ev_per_ang: float = Field(0.05, gt=0, le=1, description="Ions count as relaxed below this (eV/angstrom).")
    max_ion_steps: int = Field(60, ge=1, description="Optimiser steps per volume before `unconverged`.")
    max_residual_mev_atom: float = Field(1.0, gt=0, description="Largest misfit before `eos_bad_fit` (meV/atom).")
    max_seconds: float = Field(120.0, gt=0, description="Last resort: wall seconds before `timed_out`.")


@dataclass(frozen=True)
class BulkModulusOracle:
    potential: Potential
    limits: EquationOfStateLimits
    version: str
    properties: ClassVar[tuple[Property, ...]] = (BULK_MODULUS,)
    nominal_seconds: ClassVar[float] = 1.0
    of_geometry: ClassVar[bool] = True

    @property
    def repeatable(self) -> bool:
        return self.potential.repeatable

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        return one_by_one(xs, self._measure)

    def _measure(self, crystal: Structure) -> Measured | Failed:
        fit = equation_of_state(crystal, self.potential.calculator, self.limits)
        if isinstance(fit, Failed):
            return fit
        details = {
            "pressure_derivative": fit.pressure_derivative,
            "residual_mev_atom": 1000 * fit.residual_ev_atom,
            "equilibrium_volume_ang3_atom": fit.volume_ang3_atom,
            "evaluations": fit.evaluations,
        }
        flags = ("suspicious_modulus",) if fit.bulk_modulus_gpa > SUSPICIOUS_GPA else ()
        return Measured({BULK_MODULUS.name: fit.bulk_modulus_gpa}, crystal, flags, details)


def build(params: Params, context: OracleContext) -> BulkModulusOracle:
    """Raises ValueError where the calculator cannot be had or `n_volumes` is even."""
    if params.n_volumes % 2 == 0:
        raise ValueError(f"n_volumes {params.n_volumes} is even; write {params.n_volumes + 1}")
    chosen = potential(params, context.device)
    limits = EquationOfStateLimits(
        n_volumes=params.n_volumes,
        strain=params.strain,
        fmax_ev_per_ang=params.fmax_ev_per_ang,
        max_ion_steps=params.max_ion_steps,
        max_residual_ev_atom=params.max_residual_mev_atom / 1000,
        max_seconds=params.max_seconds,
    )
    return BulkModulusOracle(chosen, limits, f"bulk_modulus-1 {chosen.version}")
