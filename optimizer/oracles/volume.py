"""Volume per atom of the crystal as given (put `relax` before it)."""

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

VOLUME = Property("volume_ang3_atom", "angstrom^3/atom", "Volume of the cell divided by its number of atoms")


class Params(Strict):
    """Nothing to choose."""


@dataclass(frozen=True)
class VolumeOracle:
    version: str = "volume-1"
    properties: ClassVar[tuple[Property, ...]] = (VOLUME,)
    nominal_seconds: ClassVar[float] = 0.001
    of_geometry: ClassVar[bool] = True

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        return one_by_one(xs, lambda crystal: Measured({VOLUME.name: float(crystal.volume) / len(crystal)}, crystal))


def build(params: Params, context: OracleContext) -> VolumeOracle:
    return VolumeOracle()
