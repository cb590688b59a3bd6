"""Begin with a labelled table: crystals with a number for every property asked for. Costs no call."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from campaigns.records import FailureCode, is_value
from campaigns.search_space import SearchSpace
from campaigns.spec import Strict
from generative.protocols import DecodeFailure, Generator
from optimizer.crystal_files import columns_of, located, read_crystals, require_crystal
from optimizer.protocols import StartContext, StartCrystal


class Params(Strict):
    """Which table."""

    path: str = Field(description="CSV with a `cif` column, or any source of crystals that says numbers of them.")
    columns: dict[str, str] = Field(
        default_factory=dict, description="Property -> column, like {band_gap_ev: gap pbe}, where they differ."
    )


@dataclass(frozen=True)
class LabelledTable:
    path: Path
    columns: tuple[tuple[str, str], ...]  # property, column
    limit: ClassVar[int | None] = None
    allow_known: ClassVar[bool] = True

    def crystals(
        self, generator: Generator, space: SearchSpace, *, seed: int
    ) -> Iterator[StartCrystal | DecodeFailure]:
        for found in read_crystals(self.path):
            values = {name: _number(found.columns.get(column)) for name, column in self.columns}
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
    """Raises ValueError where the table is missing, lacks a column the campaign needs, or holds no crystal."""
    path = located(params.path, context.folder)
    wanted = {name: params.columns.get(name, name) for name in context.properties}
    if unused := sorted(set(params.columns) - set(wanted)):
        raise ValueError(f"columns: {unused[0]!r} is no objective or constraint; these are {', '.join(wanted)}")
    columns = columns_of(path)
    if lacking := [name for name in ("cif", *wanted.values()) if name not in columns]:
        raise ValueError(
            f"path: {path.name!r} lacks the columns {', '.join(lacking)}; it has {', '.join(columns)}. "
            "Add them, say under `columns` how they are called, or write {kind: crystals}, which measures what is read"
        )
    require_crystal(path)
    return LabelledTable(path, tuple(wanted.items()))
