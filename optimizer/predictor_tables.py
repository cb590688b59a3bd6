"""A user's table made into a fitted predictor: read once, features and errors kept by content hash, fitted again alike.

What is kept is numbers and text (`.npz`, read without pickle) in the user's cache folder, under the hash of the table's
bytes, the columns and the releases that decide a feature; it can be deleted at any time. The model itself is not kept:
each process fits it again from the features, to the same one.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure

from campaigns.contents import read_content
from campaigns.records import is_value
from generative.crystal_formats import UNREADABLE
from optimizer.crystal_files import read_crystals
from surrogates.predictors import features
from surrogates.predictors.tabular import (
    CrossValidation,
    LabelledRows,
    Method,
    TabularPredictor,
    cross_validate,
    require_enough,
)

DECIDING = ("matminer", "pymatgen", "scikit-learn", "numpy", "moyopy")
"""Distributions whose release may change a feature or a fit."""


@dataclass(frozen=True)
class FittedTable:
    """What came out of a table: the predictor, its errors on formulas left out, and how many rows were of no use."""

    predictor: TabularPredictor
    errors: CrossValidation
    n_refused: int


@dataclass(frozen=True)
class PredictorTable:
    """Which table, how it is learnt from, and `content`, the hash of all that decides the predictor."""

    path: str
    column: str
    formula_column: str | None
    method: Method
    confidence: float
    content: str

    @classmethod
    def open(
        cls, path: Path, column: str, formula_column: str | None, method: Method, confidence: float
    ) -> PredictorTable:
        """Hash the table. Raises ValueError where it cannot be read."""
        said = [features.VERSION, column, formula_column, method, *(f"{name} {version(name)}" for name in DECIDING)]
        digest = hashlib.sha256(json.dumps(said).encode())
        try:
            for file in sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]:
                digest.update(hashlib.sha256(file.read_bytes()).digest())
        except OSError as error:
            raise ValueError(f"path: {str(path)!r} cannot be read: {error}") from error
        return cls(str(path.resolve()), column, formula_column, method, confidence, digest.hexdigest())

    def fitted(self) -> FittedTable:
        """Fit, once per process. Raises ValueError where the table lacks a column or holds too little."""
        return _fitted(self)


@lru_cache(maxsize=8)
def _fitted(table: PredictorTable) -> FittedTable:
    kept = _load(_cache_file(table))
    if kept is None:
        rows, n_refused = _read(table)
        require_enough(rows, table.confidence)
        errors = cross_validate(rows, table.method)
        _save(_cache_file(table), rows, errors, n_refused)
    else:
        rows, errors, n_refused = kept
    return FittedTable(TabularPredictor.fit(rows, table.method, table.confidence), errors, n_refused)


def _read(table: PredictorTable) -> tuple[LabelledRows, int]:
    """Every row with a finite value and features, and how many have none."""
    found: list[tuple[NDArray[np.float64], float, Composition]] = []
    n_refused, seen = 0, set[str]()
    for value, given in _rows(table):
        seen |= set(value)
        try:
            label = float(value[table.column])
            if not is_value(label):
                raise ValueError("no finite value")
            if isinstance(given, Structure):
                found.append((features.crystal_features(given), label, given.composition))
            else:
                composition = Composition(given)
                found.append((features.composition_features(composition), label, composition))
        except (KeyError, TypeError, ValueError, OverflowError):
            n_refused += 1
    if not found:
        raise ValueError(
            f"path: {table.path!r} has no row with a crystal and a number in {table.column!r}; "
            + (
                f"its columns are {', '.join(sorted(seen))}; name one under `column`"
                if seen
                else "its rows carry no values: write a CSV with a column `cif` and one of values"
            )
        )
    made, labels, compositions = zip(*found, strict=True)
    return _labelled(np.array(made), np.array(labels), tuple(each.reduced_formula for each in compositions)), n_refused


def _rows(table: PredictorTable) -> Iterator[tuple[dict[str, Any], Structure | str | None]]:
    """The columns of every row, and its crystal or formula; None for a crystal that cannot be read."""
    if table.formula_column is None:
        for found in read_crystals(Path(table.path)):
            yield found.columns, found.crystal if isinstance(found.crystal, Structure) else None
        return
    try:
        frame = pd.read_csv(io.BytesIO(read_content(Path(table.path))))
    except UNREADABLE as error:
        raise ValueError(f"path: {table.path!r} cannot be read as CSV: {error}") from error
    for name in (table.formula_column, table.column):
        if name not in frame.columns:
            raise ValueError(f"{table.path} has no column {name!r}; it has {', '.join(map(str, frame.columns))}")
    for row in frame.to_dict("records"):
        yield {str(key): value for key, value in row.items()}, str(row[table.formula_column])


def _labelled(made: NDArray[np.float64], labels: NDArray[np.float64], formulas: tuple[str, ...]) -> LabelledRows:
    elements = {formula: frozenset(Composition(formula).get_el_amt_dict()) for formula in set(formulas)}
    return LabelledRows(made, labels, formulas, tuple(elements[formula] for formula in formulas))


def _cache_file(table: PredictorTable) -> Path:
    place = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(place) / "latentore" / "predictors" / f"{table.content}.npz"


def _save(file: Path, rows: LabelledRows, errors: CrossValidation, n_refused: int) -> None:
    """Write, or do without: another process may be writing the same, and a home may be read-only."""
    said = json.dumps({"errors": asdict(errors), "n_refused": n_refused})
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=file.parent, suffix=".partial", delete=False) as partial:
            np.savez_compressed(
                partial,
                features=rows.features,
                labels=rows.labels,
                formulas=np.array(rows.formulas),
                said=np.array(said),
            )
        Path(partial.name).replace(file)
    except OSError:
        return


def _load(file: Path) -> tuple[LabelledRows, CrossValidation, int] | None:
    try:
        with np.load(file, allow_pickle=False) as kept:
            said = json.loads(str(kept["said"]))
            rows = _labelled(kept["features"], kept["labels"], tuple(kept["formulas"].tolist()))
            return rows, CrossValidation(**said["errors"]), int(said["n_refused"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
        return None
