"""Relax cell and positions with an interatomic potential. Later oracles see the relaxed crystal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from pydantic import Field
from pymatgen.core import Structure

from campaigns.records import Failed, Measured, Property
from optimizer.calculators import CHGNET, CalculatorParams, Potential, potential
from optimizer.measuring import finite_or_failed, one_by_one
from optimizer.relaxation import RelaxationLimits, Relaxed, relax

if TYPE_CHECKING:
    from optimizer.protocols import OracleContext

ENERGY = Property(
    "energy_ev_atom", "eV/atom", "The potential's energy of the relaxed crystal, on the potential's scale"
)


class Params(CalculatorParams):
    """Which potential, and when a relaxation is done or given up."""

    fmax_ev_per_ang: float = Field(0.03, gt=0, le=1, description="No larger force when done (eV/angstrom).")
    max_stress_gpa: float = Field(0.3, gt=0, le=10, description="No larger stress component when done (GPa).")
    max_steps: int = Field(200, ge=1, le=10_000, description="Optimiser steps before `unconverged`.")
    max_seconds: float = Field(300.0, gt=0, description="Last resort: wall seconds before `timed_out`.")
    together: int = Field(256, ge=1, description="On a GPU, with chgnet: how many crystals are relaxed at once.")
    keep_symmetry: bool = Field(
        True,
        description="Hold the space group by projection; else an unstable one may break, to a lower energy.",
    )


@dataclass(frozen=True)
class RelaxOracle:
    potential: Potential
    limits: RelaxationLimits
    version: str
    together: int
    properties: ClassVar[tuple[Property, ...]] = (ENERGY,)
    nominal_seconds: ClassVar[float] = 2.0  # what the dearest stage is judged by: 1 to 3 s for up to 12 atoms
    changes_crystal: ClassVar[bool] = True

    @property
    def repeatable(self) -> bool:
        return self.potential.repeatable

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        if self.potential.name != CHGNET:
            calculator = self.potential.calculator
            return one_by_one(xs, lambda crystal: _outcome(relax(crystal, calculator, self.limits)))
        from optimizer.batched_relaxation import relax_together
        from optimizer.chgnet_calculator import LeanCHGNetCalculator

        calculator = cast(LeanCHGNetCalculator, self.potential.calculator)
        found = relax_together(xs, calculator.batched, self.limits, together=self.together)
        return ((index, finite_or_failed(_outcome(relaxed))) for index, relaxed in found)


def _outcome(relaxed: Relaxed | Failed) -> Measured | Failed:
    if isinstance(relaxed, Failed):
        return relaxed
    details = {
        "steps": relaxed.steps,
        "fmax_ev_per_ang": relaxed.fmax_ev_per_ang,
        "max_stress_gpa": relaxed.max_stress_gpa,
        "volume_ratio": relaxed.volume_ratio,
    }
    values = {ENERGY.name: relaxed.energy_ev_atom}
    return Measured(values, relaxed.crystal, details=details, seconds=relaxed.seconds)


def build(params: Params, context: OracleContext) -> RelaxOracle:
    """Raises ValueError where the calculator cannot be had."""
    chosen = potential(params, context.device)
    limits = RelaxationLimits(
        fmax_ev_per_ang=params.fmax_ev_per_ang,
        max_stress_gpa=params.max_stress_gpa,
        max_steps=params.max_steps,
        max_seconds=params.max_seconds,
        keep_symmetry=params.keep_symmetry,
    )
    # on a CPU a batch is no faster than one after the other
    together = params.together if chosen.name == CHGNET and context.device == "cuda" else 1
    return RelaxOracle(chosen, limits, f"relax-1 {chosen.version}", together)
