"""Mass density of the crystal as given (put `relax` before it)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pymatgen.core import Structure

from campaigns.records import Failed, Measured, Property
from campaigns.spec import Strict
from optimizer.measuring import one_by_one

if TYPE_CHECKING:
    from optimizer.protocols import OracleContext

DENSITY = Property("density_g_cm3", "g/cm^3", "Mass density from the cell and standard atomic weights")


class Params(Strict):
    """Nothing to choose."""


@dataclass(frozen=True)
class DensityOracle:
    version: str = "density-1"
    properties: ClassVar[tuple[Property, ...]] = (DENSITY,)
    nominal_seconds: ClassVar[float] = 0.001
    of_geometry: ClassVar[bool] = True

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        return one_by_one(xs, lambda crystal: Measured({DENSITY.name: float(crystal.density)}, crystal))


def build(params: Params, context: OracleContext) -> DensityOracle:
    return DensityOracle()
