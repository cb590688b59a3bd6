"""Crystals and tables a user brings: a CIF, a folder of CIFs, a CSV with a `cif` column, or pymatgen JSON."""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pymatgen.core import Structure

from campaigns.records import FailureCode
from generative.protocols import DecodeFailure

UNREADABLE = (
    OSError,
    EOFError,
    zlib.error,
    UnicodeDecodeError,
    json.JSONDecodeError,
    pd.errors.EmptyDataError,
    pd.errors.ParserError,
)


@dataclass(frozen=True)
class FileCrystal:
    """One crystal with where it stands and, from a table, the other columns of its row."""

    source: str
    crystal: Structure | DecodeFailure
    columns: dict[str, object]


def located(path: str, folder: str) -> Path:
    """`path`, relative to the campaign file's folder. Raises ValueError where nothing is there."""
    place = Path(folder) / path
    if not place.exists():
        raise ValueError(f"path: {str(place)!r} does not exist; paths start at the campaign file's folder")
    return place


def read_crystals(path: Path) -> Iterator[FileCrystal]:
    """Every crystal of a file or folder, unreadable ones as failures.

    Raises ValueError where the file cannot be read, its format is none of those known, or a table has no `cif` column.
    """
    try:
        yield from _read(path)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def require_crystal(path: Path) -> None:
    """Raises ValueError where not one crystal can be read from `path`, or `read_crystals` would."""
    first: FileCrystal | None = None
    for found in read_crystals(path):
        if not isinstance(found.crystal, DecodeFailure):
            return
        first = first or found
    why = f": {first.source}: {first.crystal.message}" if first and isinstance(first.crystal, DecodeFailure) else ""
    raise ValueError(f"path: {str(path)!r} holds no crystal that can be read{why}")


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(f"path: {str(path)!r} cannot be read: {' '.join(str(error).split())}")


def _read(path: Path) -> Iterator[FileCrystal]:
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() == ".cif")
        if not files:
            raise ValueError(f"path: folder {str(path)!r} holds no .cif file")
        for file in files:
            yield FileCrystal(file.name, _from_cif(file.read_text()), {})
    elif path.suffix.lower() == ".cif":
        yield FileCrystal(path.name, _from_cif(path.read_text()), {})
    elif path.suffix.lower() == ".json":
        data = json.loads(path.read_text())
        for i, entry in enumerate(data if isinstance(data, list) else [data]):
            yield FileCrystal(f"{path.name}[{i}]", _from_dict(entry), {})
    elif path.name.lower().endswith((".csv", ".csv.gz")):
        yield from _read_table(path)
    else:
        raise ValueError(f"path: {path.name!r} is no .cif, .csv, .csv.gz, .json or folder of .cif files")


def table_columns(path: Path) -> list[str]:
    """The header of a CSV. Raises ValueError where it cannot be read."""
    try:
        return [str(name) for name in pd.read_csv(path, nrows=0).columns]
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _read_table(path: Path) -> Iterator[FileCrystal]:
    table = pd.read_csv(path)
    if "cif" not in table.columns:
        raise ValueError(f"path: {path.name!r} has no column `cif` among {', '.join(map(str, table.columns))}")
    for i, row in enumerate(table.to_dict("records")):
        cif = row.pop("cif")
        yield FileCrystal(f"{path.name} row {i + 2}", _from_cif(str(cif)), {str(k): v for k, v in row.items()})


def _from_cif(text: str) -> Structure | DecodeFailure:
    try:
        with warnings.catch_warnings():
            # pymatgen tells of rounded coordinates and odd occupancies; what it cannot read it raises
            warnings.filterwarnings("ignore", category=UserWarning, module="pymatgen")
            return Structure.from_str(text, fmt="cif")
    except Exception as error:  # pymatgen raises many kinds for a malformed CIF
        return DecodeFailure(FailureCode.DECODE_INVALID, f"unreadable CIF: {error}")


def _from_dict(entry: object) -> Structure | DecodeFailure:
    try:
        return Structure.from_dict(entry)  # type: ignore[arg-type]
    except Exception as error:
        return DecodeFailure(FailureCode.DECODE_INVALID, f"no pymatgen structure: {error}")
