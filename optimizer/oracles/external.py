"""Values that come from outside, like DFT or a laboratory: `optimize ask` writes what to measure, `optimize tell` reads
what came out.

    oracles:
      - relax                              # computed here, before anything is handed out
      - {kind: external, properties: {band_gap_ev: eV}}

It stands last and once. Every candidate that is handed out is a call. Asked for a value here, it refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator
from pymatgen.core import Structure

from campaigns.records import PROPERTY_NAME, Failed, FailureCode, Measured, Property
from campaigns.spec import CampaignSpec, Strict
from optimizer.measuring import one_by_one

if TYPE_CHECKING:
    from optimizer.protocols import OracleContext

KIND = "external"


class Params(Strict):
    """What is measured outside, and what it costs."""

    properties: dict[str, str] = Field(min_length=1, description="Property name -> unit, like {band_gap_ev: eV}.")
    hours: float = Field(
        24.0, gt=0, allow_inf_nan=False, description="Rough cost of one measurement; the dearest oracle is budgeted."
    )

    @field_validator("properties")
    @classmethod
    def _stand_in_a_header(cls, value: dict[str, str]) -> dict[str, str]:
        for name, unit in value.items():
            if not PROPERTY_NAME.match(name):
                raise ValueError(f"{name!r} is no property name; write it like band_gap_ev")
            if not unit.strip() or set(unit) & set("[]\n\r"):
                raise ValueError(f"{unit!r} is no unit for {name}; write it like eV, or 1 where there is none")
        return value


@dataclass(frozen=True)
class ExternalOracle:
    properties: tuple[Property, ...]
    nominal_seconds: float
    version: str
    external: ClassVar[bool] = True

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        return one_by_one(xs, self._refuse)

    def _refuse(self, crystal: Structure) -> Failed:
        names = ", ".join(prop.name for prop in self.properties)
        return Failed(FailureCode.NOT_FOUND, f"{names}: measured outside, see `optimize ask`")


def build(params: Params, context: OracleContext | None) -> ExternalOracle:
    """Nothing of the context is needed."""
    properties = tuple(Property(name, unit, "told from outside") for name, unit in params.properties.items())
    version = "external-1 " + ", ".join(f"{name} [{unit}]" for name, unit in params.properties.items())
    return ExternalOracle(properties, params.hours * 3600, version)


def external_place(spec: CampaignSpec) -> int | None:
    """Where among the oracles of a campaign `external` stands, or None."""
    return next((place for place, each in enumerate(spec.oracles) if each.kind == KIND), None)
