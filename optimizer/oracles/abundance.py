"""How common the crystal's elements are in the Earth's continental crust, by mass.

Abundances in mg/kg (parts per million) from the CRC Handbook of Chemistry and Physics, 92nd edition (2011), as smact
ships them. Crustal abundance is no measure of what is mined: copper is scarcer than cerium.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from pymatgen.core import Structure

from campaigns.records import Failed, FailureCode, Measured, Property
from campaigns.spec import Strict
from optimizer.mass_fractions import mass_fractions
from optimizer.measuring import one_by_one

if TYPE_CHECKING:
    from optimizer.protocols import OracleContext

SCARCEST = Property("scarcest_element_ppm", "mg/kg", "Crustal abundance of the scarcest element")
COMPOUND = Property(
    "crust_yield_ppm", "mg/kg", "Mass of the crystal that all of a mass of crust could make, lowest over its elements"
)


class Params(Strict):
    """Nothing to choose."""


@dataclass(frozen=True)
class AbundanceOracle:
    version: str = "abundance-1 crc-92"
    properties: ClassVar[tuple[Property, ...]] = (SCARCEST, COMPOUND)
    nominal_seconds: ClassVar[float] = 0.001

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        return one_by_one(xs, _measure)


def build(params: Params, context: OracleContext) -> AbundanceOracle:
    return AbundanceOracle()


def _measure(crystal: Structure) -> Measured | Failed:
    fractions = mass_fractions(crystal.composition)
    abundances = {symbol: crustal_abundance(symbol) for symbol in fractions}
    found = {symbol: ppm for symbol, ppm in abundances.items() if ppm}
    if unknown := sorted(set(abundances) - set(found)):
        return Failed(FailureCode.NO_REFERENCE, f"no crustal abundance for {', '.join(unknown)}")
    scarcest = min(sorted(found), key=lambda symbol: found[symbol])
    limit = min(found[symbol] / fraction for symbol, fraction in fractions.items())
    return Measured({SCARCEST.name: found[scarcest], COMPOUND.name: limit}, crystal, details={"scarcest": scarcest})


@cache
def crustal_abundance(symbol: str) -> float | None:
    """mg/kg; None for elements that the crust has no lasting amount of."""
    from smact import Element

    try:
        return Element(symbol).crustal_abundance
    except (KeyError, NameError):  # smact knows no such element
        return None
