"""Look the crystal up in a table of measured or computed values, by formula, fingerprint or structure.

A formula names many crystals: use it only for properties of the composition. A fingerprint (space group,
formula, occupied Wyckoff positions) leaves the free coordinates open; matching structures settles them too.
"""

from __future__ import annotations

import hashlib
import io
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pandas as pd
from pydantic import Field, field_validator
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Structure

from campaigns.contents import read_content
from campaigns.records import Failed, FailureCode, Measured, Property
from campaigns.spec import Strict
from generative.protocols import EncodeFailure
from generative.representations.wyckoff import fingerprint
from optimizer.measuring import one_by_one

if TYPE_CHECKING:
    from optimizer.protocols import OracleContext


class TableColumn(Strict):
    """Where a property stands in the table."""

    unit: str = Field(description='Unit of the values, like "eV".')
    column: str | None = Field(None, description="Column of the table; the property's own name where absent.")


class Params(Strict):
    """Which table, how a crystal finds its row, and what is read there."""

    path: str = Field(description="CSV file, plain or gzipped; relative to the campaign file.")
    match: Literal["formula", "fingerprint", "structure"] = Field(
        description="Reduced formula, fingerprint, or StructureMatcher over the rows of the same formula."
    )
    key: str = Field(description="Column with the formula, the fingerprint, or the CIF text.")
    properties: dict[str, TableColumn] = Field(
        min_length=1, description="Property name -> unit, or {unit: ..., column: ...}."
    )

    @field_validator("properties", mode="before")
    @classmethod
    def _bare_unit(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: {"unit": given} if isinstance(given, str) else given for name, given in value.items()}


@dataclass(frozen=True)
class Table:
    """A file as it was when its campaign was opened: written anew, it is another one."""

    path: str
    digest: str

    @property
    def name(self) -> str:
        return Path(self.path).name


@dataclass(frozen=True)
class LookupOracle:
    table: Table
    match: Literal["formula", "fingerprint", "structure"]
    key: str
    columns: tuple[str, ...]  # of the table, in the order of `properties`
    properties: tuple[Property, ...]
    version: str
    nominal_seconds: ClassVar[float] = 0.01

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        return one_by_one(xs, self._measure)

    def _measure(self, crystal: Structure) -> Measured | Failed:
        row = self._row(crystal)
        if row is None:
            formula = crystal.composition.reduced_formula
            return Failed(FailureCode.NOT_FOUND, f"{formula} is not in {self.table.name} (by {self.match})")
        values = _values(self.table, self.columns)[row]
        found = {prop.name: value for prop, value in zip(self.properties, values, strict=True)}
        if empty := [name for name, value in found.items() if value != value]:
            return Failed(FailureCode.NOT_FOUND, f"row {row + 2} of {self.table.name} has no {empty[0]}")
        return Measured(found, crystal, details={"row": row + 2})

    def _row(self, crystal: Structure) -> int | None:
        """Index of the crystal's row: of several that fit one that has every value, the first of these, or the closest
        where structures are matched."""
        if self.match == "fingerprint":
            code = fingerprint(crystal)
            rows = () if isinstance(code, EncodeFailure) else _rows(self.table, self.key, "text").get(code, ())
            return next(iter(self._told(rows)), None)
        formula = crystal.composition.reduced_formula
        if self.match == "formula":
            return next(iter(self._told(_rows(self.table, self.key, "formula").get(formula, ()))), None)
        matcher = StructureMatcher()
        distances = {
            row: matcher.get_rms_dist(crystal, _crystals(self.table, self.key)[row])
            for row in _rows(self.table, self.key, "cif").get(formula, ())
        }
        fitting = {row: distance[0] for row, distance in distances.items() if distance is not None}
        return min(self._told(tuple(fitting)), key=lambda row: (fitting[row], row), default=None)

    def _told(self, rows: tuple[int, ...]) -> tuple[int, ...]:
        """Those that have every value; all of them where none has."""
        values = _values(self.table, self.columns)
        return tuple(row for row in rows if all(map(math.isfinite, values[row]))) or rows


def build(params: Params, context: OracleContext) -> LookupOracle:
    """Raises ValueError where the file or a column is missing or a key cannot be read."""
    path = str((Path(context.folder) / params.path).resolve())
    try:
        file = Table(path, hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12])
        table = _table(file)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"path {params.path!r} cannot be read as CSV: {error}; paths start at the campaign file's folder"
        ) from error
    columns = tuple(given.column or name for name, given in params.properties.items())
    for column in (params.key, *columns):
        if column not in table.columns:
            raise ValueError(f"{params.path} has no column {column!r}; it has {', '.join(map(str, table.columns))}")
    for column in columns:
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise ValueError(f"{params.path}: column {column!r} holds text where numbers are needed")
    _rows(file, params.key, {"formula": "formula", "fingerprint": "text", "structure": "cif"}[params.match])
    properties = tuple(
        Property(name, given.unit, f"{given.column or name} of {file.name}")
        for name, given in params.properties.items()
    )
    return LookupOracle(
        file, params.match, params.key, columns, properties, f"lookup-1 {file.digest} by {params.match}"
    )


@lru_cache(maxsize=4)
def _table(file: Table) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(read_content(Path(file.path))))


@lru_cache(maxsize=4)
def _values(file: Table, columns: tuple[str, ...]) -> list[tuple[float, ...]]:
    return [tuple(map(float, row)) for row in _table(file)[list(columns)].itertuples(index=False)]


@lru_cache(maxsize=4)
def _keys(file: Table, key: str) -> dict[int, str]:
    """Index -> key of every row that has one, as it is written: pandas would take the formula NaN for none."""
    column = pd.read_csv(
        io.BytesIO(read_content(Path(file.path))),
        usecols=[key],
        dtype=str,
        keep_default_na=False,
    )[key]
    return {row: text for row, text in enumerate(column) if text.strip()}


@lru_cache(maxsize=4)
def _crystals(file: Table, key: str) -> dict[int, Structure]:
    with warnings.catch_warnings():  # pymatgen says that it rounds coordinates like 0.3333
        warnings.filterwarnings("ignore", message="Issues encountered while parsing CIF")
        try:
            return {row: Structure.from_str(text, fmt="cif") for row, text in _keys(file, key).items()}
        except (ValueError, AssertionError) as error:
            raise ValueError(f"column {key!r} holds something that is no CIF: {error}") from error


@lru_cache(maxsize=4)
def _rows(file: Table, key: str, reading: Literal["formula", "text", "cif"] | str) -> dict[str, tuple[int, ...]]:
    """Reduced formula or fingerprint -> indices of its rows."""
    if reading == "cif":
        names = {row: crystal.composition.reduced_formula for row, crystal in _crystals(file, key).items()}
    elif reading == "formula":
        names = {row: _reduced(text, key) for row, text in _keys(file, key).items()}
    else:
        names = _keys(file, key)
    found: dict[str, list[int]] = {}
    for row, name in names.items():
        found.setdefault(name, []).append(row)
    return {name: tuple(rows) for name, rows in found.items()}


def _reduced(text: str, key: str) -> str:
    try:
        return Composition(text).reduced_formula
    except (ValueError, OverflowError) as error:  # the second where an amount is infinite
        raise ValueError(
            f"column {key!r} holds {text!r}, which is no formula; `key` names the column of formulas"
        ) from error
