"""Magnetisation from CHGNet's magnetic moments of the crystal as given (put `relax` before it), all moments parallel.

CHGNet learnt the sizes of the moments in collinear PBE(+U) calculations (Deng et al., Nat. Mach. Intell. 5, 1031
(2023)), not their signs: an antiferromagnet gets the moments of its ferromagnetic order, so every value is an upper
bound. Nickel comes out at 0.07 Bohr magnetons (measured: 0.6), iron at 2.4 (2.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pymatgen.core import Structure

from campaigns.records import Failed, FailureCode, Measured, Property
from campaigns.spec import Strict
from optimizer.calculators import CalculatorParams, Potential, potential
from optimizer.measuring import one_by_one

if TYPE_CHECKING:
    from optimizer.protocols import OracleContext

TESLA_PER_MUB_ANG3 = 11.6540
"""Vacuum permeability times one Bohr magneton per cubic angstrom (CODATA 2018)."""
PER_ATOM = Property("magnetisation_mub_atom", "mu_B/atom", "Magnetic moment per atom, all moments parallel")
PER_FORMULA = Property("magnetisation_mub_formula", "mu_B/f.u.", "The same per reduced formula unit")
PER_VOLUME = Property("magnetisation_tesla", "T", "Saturation magnetisation (times mu_0), all moments parallel")


class Params(Strict):
    """Nothing to choose: only chgnet has magnetic moments."""


@dataclass(frozen=True)
class MagnetisationOracle:
    potential: Potential
    version: str
    properties: ClassVar[tuple[Property, ...]] = (PER_ATOM, PER_FORMULA, PER_VOLUME)
    nominal_seconds: ClassVar[float] = 0.05
    of_geometry: ClassVar[bool] = True

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        return one_by_one(xs, self._measure)

    def _measure(self, crystal: Structure) -> Measured | Failed:
        from optimizer.chgnet_calculator import LeanCHGNetCalculator

        calculator = self.potential.calculator
        assert isinstance(calculator, LeanCHGNetCalculator)
        try:
            moments = calculator.magnetic_moments(crystal)
        except Exception as error:  # chgnet may fail in any way on a crystal that makes no sense
            return Failed(FailureCode.CALCULATOR_ERROR, f"{type(error).__name__}: {error}")
        total = float(moments.sum())
        _, units = crystal.composition.get_reduced_composition_and_factor()
        values = {
            PER_ATOM.name: total / len(crystal),
            PER_FORMULA.name: total / float(units),
            PER_VOLUME.name: TESLA_PER_MUB_ANG3 * total / float(crystal.volume),
        }
        return Measured(values, crystal, details={"moments_mub": [round(float(m), 4) for m in moments]})


def build(params: Params, context: OracleContext) -> MagnetisationOracle:
    """Raises ValueError where CHGNet's weights are not the ones this project was measured with."""
    chosen = potential(CalculatorParams(), context.device)
    return MagnetisationOracle(chosen, f"magnetisation-1 {chosen.version}")
