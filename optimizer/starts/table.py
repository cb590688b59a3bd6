"""Begin with a labelled table: a CSV with a `cif` column and a column for every property asked for. Costs no call."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from campaigns.records import FailureCode, is_value
from campaigns.spec import SearchSpace, Strict
from generative.protocols import DecodeFailure, Generator
from optimizer.crystal_files import located, read_crystals, require_crystal, table_columns
from optimizer.protocols import StartContext, StartCrystal


class Params(Strict):
    """Which table."""

    path: str = Field(description="CSV with a `cif` column and one column per property, named as in the campaign.")


@dataclass(frozen=True)
class LabelledTable:
    path: Path
    properties: tuple[str, ...]
    limit: ClassVar[int | None] = None
    allow_known: ClassVar[bool] = True

    def crystals(
        self, generator: Generator, space: SearchSpace, *, seed: int
    ) -> Iterator[StartCrystal | DecodeFailure]:
        for found in read_crystals(self.path):
            values = {name: _number(found.columns[name]) for name in self.properties}
            if isinstance(found.crystal, DecodeFailure):
                yield found.crystal
            elif not all(map(is_value, values.values())):
                yield DecodeFailure(FailureCode.INVALID_VALUE, f"{found.source}: a property is empty or no number")
            else:
                yield StartCrystal(found.crystal, values, found.source)


def _number(cell: object) -> float:
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def build(params: Params, context: StartContext) -> LabelledTable:
    """Raises ValueError where the table is missing, no CSV, lacks a column the campaign needs, or holds no crystal."""
    path = located(params.path, context.folder)
    if not path.name.lower().endswith((".csv", ".csv.gz")):
        raise ValueError(f"path: {path.name!r} is no .csv or .csv.gz")
    columns = table_columns(path)
    if lacking := [name for name in ("cif", *context.properties) if name not in columns]:
        raise ValueError(f"path: {path.name!r} lacks the columns {', '.join(lacking)}; it has {', '.join(columns)}")
    require_crystal(path)
    return LabelledTable(path, context.properties)
