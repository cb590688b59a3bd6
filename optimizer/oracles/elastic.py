"""Elastic tensor of the crystal as given (put `relax` before it), ions relaxed, and the moduli of a polycrystal of it.

Moduli are the Voigt-Reuss-Hill averages (R. Hill, Proc. Phys. Soc. A 65, 349 (1952)), as pymatgen computes them. A
crystal that Born's criteria find unstable fails with `elastic_unstable`. The whole tensor, on the axes of the IEEE
standard, is in the details. Potentials soften: CHGNet's shear moduli of textbook solids come out at a half of
experiment, see docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pymatgen.core import Structure

from campaigns.records import Failed, FailureCode, Measured, Property
from optimizer.calculators import CalculatorParams, Potential, potential
from optimizer.elasticity import Elasticity, ElasticLimits, elastic_tensor
from optimizer.measuring import one_by_one

if TYPE_CHECKING:
    from optimizer.protocols import OracleContext

BULK = Property("bulk_modulus_vrh_gpa", "GPa", "Bulk modulus from the elastic tensor, Voigt-Reuss-Hill average")
SHEAR = Property("shear_modulus_gpa", "GPa", "Shear modulus, Voigt-Reuss-Hill average")
YOUNG = Property("young_modulus_gpa", "GPa", "Young's modulus from the two averages")
POISSON = Property("poisson_ratio", "1", "Poisson's ratio from the two averages")
PUGH = Property("pugh_ratio", "1", "Bulk over shear modulus; above 1.75 metals tend to be ductile (Pugh 1954)")
ANISOTROPY = Property(
    "elastic_anisotropy", "1", "Universal anisotropy index, 0 where isotropic (Ranganathan and Ostoja-Starzewski 2008)"
)
SUSPICIOUS_GPA = 500.0
"""Above diamond in bulk modulus, and at its shear modulus of 535 GPa."""
STRESSED_GPA = 1.0
RIPPLED = 0.3


class Params(CalculatorParams):
    """Which potential, and how far the crystal is strained."""

    strain: float = Field(0.03, gt=0, le=0.06, description="Largest strain; small ones see a potential's ripples.")
    fmax_ev_per_ang: float = Field(0.005, gt=0, le=0.05, description="Ions count as relaxed below this (eV/angstrom).")
    max_ion_steps: int = Field(100, ge=1, description="Optimiser steps per strained cell before `unconverged`.")
    max_residual_stress_gpa: float = Field(
        5.0, gt=0, description="Larger stress of the crystal as given is `unconverged`; above 1 GPa it is flagged."
    )
    max_seconds: float = Field(300.0, gt=0, description="Last resort: wall seconds before `timed_out`.")


@dataclass(frozen=True)
class ElasticOracle:
    potential: Potential
    limits: ElasticLimits
    version: str
    properties: ClassVar[tuple[Property, ...]] = (BULK, SHEAR, YOUNG, POISSON, PUGH, ANISOTROPY)
    nominal_seconds: ClassVar[float] = 5.0  # 1 to 6 s for a cubic crystal, three times that for a triclinic one
    of_geometry: ClassVar[bool] = True

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        return one_by_one(xs, self._measure)

    def _measure(self, crystal: Structure) -> Measured | Failed:
        found = elastic_tensor(crystal, self.potential.calculator, self.limits)
        if isinstance(found, Failed):
            return found
        if found.softest_gpa <= 0:
            return Failed(
                FailureCode.ELASTIC_UNSTABLE,
                f"the stiffness has the eigenvalue {found.softest_gpa:.1f} GPa, not above 0",
            )
        details = {
            "stiffness_gpa": found.tensor.voigt.round(2).tolist(),
            "softest_gpa": found.softest_gpa,
            "residual_stress_gpa": found.residual_stress_gpa,
            "misfit": found.misfit,
            "evaluations": found.evaluations,
        }
        return Measured(moduli(found), crystal, _flags(found), details)


def build(params: Params, context: OracleContext) -> ElasticOracle:
    """Raises ValueError where the calculator cannot be had."""
    chosen = potential(params, context.device)
    limits = ElasticLimits(
        strain=params.strain,
        fmax_ev_per_ang=params.fmax_ev_per_ang,
        max_ion_steps=params.max_ion_steps,
        max_residual_stress_gpa=params.max_residual_stress_gpa,
        max_seconds=params.max_seconds,
    )
    return ElasticOracle(chosen, limits, f"elastic-1 {chosen.version}")


def moduli(found: Elasticity) -> dict[str, float]:
    """Property -> value, of a stable crystal."""
    tensor = found.tensor
    return {
        BULK.name: float(tensor.k_vrh),
        SHEAR.name: float(tensor.g_vrh),
        YOUNG.name: float(tensor.y_mod) / 1e9,  # pymatgen's is in Pa where the tensor is in GPa
        POISSON.name: float(tensor.homogeneous_poisson),
        PUGH.name: float(tensor.k_vrh / tensor.g_vrh),
        ANISOTROPY.name: float(tensor.universal_anisotropy),
    }


def _flags(found: Elasticity) -> tuple[str, ...]:
    said = {
        "suspicious_modulus": found.tensor.k_vrh > SUSPICIOUS_GPA or found.tensor.g_vrh > SUSPICIOUS_GPA,
        "stressed": found.residual_stress_gpa > STRESSED_GPA,
        "elastic_misfit": found.misfit > RIPPLED,
    }
    return tuple(flag for flag, stands in said.items() if stands)
