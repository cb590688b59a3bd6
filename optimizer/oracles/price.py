"""Price of the raw materials of the crystal as given (put `relax` before it): its elements, bought pure.

The elements' prices in USD/kg, most of them of 2018 to 2024, are those of the English Wikipedia's *Prices of chemical
elements*, revision 1262554464 (December 2024), the lower end where it gives a range. Making the compound of them costs
more, and ores and salts are often cheaper than the element: an order of magnitude, good for doing without rhodium.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, ClassVar

from pymatgen.core import Structure

from campaigns.records import Failed, FailureCode, Measured, Property
from campaigns.spec import Strict
from optimizer.mass_fractions import mass_fractions
from optimizer.measuring import one_by_one

if TYPE_CHECKING:
    from optimizer.protocols import OracleContext

PER_KG = Property("price_usd_kg", "USD/kg", "Price of the pure elements that make up a kilogram of the crystal")
PER_LITRE = Property("price_usd_litre", "USD/L", "Price of the pure elements that make up a litre of the crystal")


class Params(Strict):
    """Nothing to choose."""


@dataclass(frozen=True)
class PriceOracle:
    version: str = "price-1 2024-12"
    properties: ClassVar[tuple[Property, ...]] = (PER_KG, PER_LITRE)
    nominal_seconds: ClassVar[float] = 0.001
    of_geometry: ClassVar[bool] = True

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        return one_by_one(xs, _measure)


def build(params: Params, context: OracleContext) -> PriceOracle:
    return PriceOracle()


def _measure(crystal: Structure) -> Measured | Failed:
    prices, fractions = element_prices(), mass_fractions(crystal.composition)
    if unpriced := sorted(set(fractions) - set(prices)):
        return Failed(FailureCode.NO_REFERENCE, f"no price for {', '.join(unpriced)}")
    shares = {symbol: fraction * prices[symbol] for symbol, fraction in fractions.items()}
    per_kg = sum(shares.values())
    dearest = max(sorted(shares), key=lambda symbol: shares[symbol])
    values = {PER_KG.name: per_kg, PER_LITRE.name: per_kg * float(crystal.density)}  # g/cm^3 is kg/L
    return Measured(values, crystal, details={"most_of_it_for": dearest})


@cache
def element_prices() -> Mapping[str, float]:
    """Symbol -> USD/kg, from the bundled table (see DATA-LICENSES.md); 93 elements."""
    text = files("optimizer").joinpath("data/element_prices.csv").read_text(encoding="utf-8")
    return {row["symbol"]: float(row["price_usd_kg"]) for row in csv.DictReader(io.StringIO(text))}
