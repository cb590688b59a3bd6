"""Predict a property from a table of your own: composition and structure in, gradient boosting or a forest between.

    oracles:
      - kind: predictor
        path: gaps.csv             # CIFs in the column `cif`, or any other file of crystals
        property: band_gap_ev
        unit: eV
        column: gap                # where it is not named like the property

`optimize check` fits it and says how far it errs on formulas that it has not seen. Every outcome is flagged
`predicted`; `in_sample` where the formula was fitted to (the value is then hardly a prediction), `out_of_domain` where
the table holds nothing of the kind. The interval and the errors stand in the details, and so in the export. Where the
objective is what is predicted, a search finds the predictor's errors along with good crystals: have the best measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator
from pymatgen.core import Structure

from campaigns.records import PROPERTY_NAME, Failed, Measured, Property
from campaigns.spec import Strict
from optimizer.crystal_files import located
from optimizer.measuring import one_by_one
from optimizer.predictor_tables import FittedTable, PredictorTable
from surrogates.predictors.features import composition_features, crystal_features
from surrogates.predictors.tabular import Method

if TYPE_CHECKING:
    from optimizer.protocols import OracleContext


class Params(Strict):
    """Which table, what is learnt from it, and how."""

    path: str = Field(
        description="CSV, ASE database, .extxyz or pymatgen JSON with the values; relative to the campaign file."
    )
    property: str = Field(description="The property's name, with its unit, like band_gap_ev.")
    unit: str = Field(description='Unit of the values, like "eV".')
    column: str | None = Field(None, description="Column or key of the values; the property's name where absent.")
    formula_column: str | None = Field(
        None, description="Column of a CSV without structures that holds formulas: only the composition is used then."
    )
    model: Method = Field("forest", description="forest, or boosting: quicker on thousands of rows.")
    confidence: float = Field(0.9, ge=0.5, le=0.99, description="Share of unseen formulas that intervals shall cover.")

    @field_validator("property")
    @classmethod
    def _named_like_one(cls, value: str) -> str:
        if not PROPERTY_NAME.match(value):
            raise ValueError(f"{value!r} must be lower_snake_case with its unit, like band_gap_ev")
        return value


@dataclass(frozen=True)
class PredictorOracle:
    table: PredictorTable
    properties: tuple[Property, ...]
    notes: tuple[str, ...]  # for `optimize check`
    version: str
    of_geometry: bool
    nominal_seconds: ClassVar[float] = 0.05

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        return one_by_one(xs, self._measure)

    def _measure(self, crystal: Structure) -> Measured | Failed:
        fitted = self.table.fitted()
        composition = crystal.composition
        features = composition_features(composition) if self.table.formula_column else crystal_features(crystal)
        found = fitted.predictor.predict(
            features, composition.reduced_formula, [element.symbol for element in composition.elements]
        )
        said = {"predicted": True, "in_sample": found.in_sample, "out_of_domain": not found.in_domain}
        details = {
            "interval": [found.low, found.high],
            "confidence": fitted.predictor.confidence,
            "mean_absolute_error_of_unseen_formulas": fitted.errors.mean_absolute_error,
            "r2_of_unseen_formulas": fitted.errors.r2,
            "mean_absolute_error_of_guessing_the_mean": fitted.errors.guess_error,
        }
        flags = tuple(flag for flag, stands in said.items() if stands)
        return Measured({self.properties[0].name: found.value}, crystal, flags, details)


def build(params: Params, context: OracleContext) -> PredictorOracle:
    """Raises ValueError where the table cannot be read, lacks the column, or holds too little to learn from."""
    path = located(params.path, context.folder)
    column = params.column or params.property
    table = PredictorTable.open(path, column, params.formula_column, params.model, params.confidence)
    said = Property(params.property, params.unit, f"{column} of {path.name}, predicted by a {params.model}")
    version = f"predictor-1 {params.model} {table.content[:12]}"
    return PredictorOracle(table, (said,), (_note(params, table.fitted()),), version, params.formula_column is None)


def _note(params: Params, fitted: FittedTable) -> str:
    errors = fitted.errors
    refused = f", {fitted.n_refused} more could not be used" if fitted.n_refused else ""
    return (
        f"{params.property} is predicted by a {params.model} fitted to {errors.n_rows} rows ({errors.n_formulas} "
        f"formulas{refused}): mean absolute error {errors.mean_absolute_error:.3g} {params.unit} on formulas left out, "
        f"{errors.guess_error:.3g} for always guessing the mean; R2 {errors.r2:.2f}; intervals of "
        f"{params.confidence:.0%} are +-{fitted.predictor.half_width:.3g} {params.unit}"
    )
