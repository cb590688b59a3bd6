"""Crystals and tables a user brings, read as `generative.crystal_formats` reads them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pymatgen.core import Structure

from campaigns.contents import read_content
from campaigns.errors import UserError
from campaigns.records import FailureCode
from generative.crystal_formats import UNREADABLE, read_rows
from generative.loading import read_crystal
from generative.protocols import DecodeFailure, EncodeFailure
from generative.remote_sources import fetched, is_remote


@dataclass(frozen=True)
class FileCrystal:
    """One crystal with its name in its source and what else the source says of it."""

    source: str
    crystal: Structure | DecodeFailure
    columns: dict[str, Any]


def located(path: str, folder: str) -> Path:
    """`path`, relative to the campaign file's folder, or what a source elsewhere gave (`generative.remote_sources`).

    Raises ValueError where nothing is there, or it cannot be fetched.
    """
    if is_remote(path):
        try:
            return fetched(path)
        except UserError as error:
            raise ValueError(f"path: {error}") from error
    place = Path(folder) / path
    if not place.exists():
        raise ValueError(f"path: {str(place)!r} does not exist; paths start at the campaign file's folder")
    return place


def read_crystals(path: Path) -> Iterator[FileCrystal]:
    """Every crystal of a file or folder, unreadable ones as failures.

    Raises ValueError where the file cannot be read, its format is none of those known, or a table has no `cif` column.
    """
    try:
        for name, unread, columns in read_rows(path, "cif"):
            source = name if isinstance(unread, Path) else f"{path.name} {name}"
            yield FileCrystal(source, _or_failure(read_crystal(unread)), dict(columns))
    except UserError as error:
        raise ValueError(f"path: {error}") from error


def number_of_crystals(path: Path) -> int:
    """How many `read_crystals` will yield; raises as it does. CIFs are counted, not parsed."""
    try:
        return sum(1 for _ in read_rows(path, "cif"))
    except UserError as error:
        raise ValueError(f"path: {error}") from error


def _or_failure(read: Structure | EncodeFailure) -> Structure | DecodeFailure:
    return DecodeFailure(FailureCode.DECODE_INVALID, read.message) if isinstance(read, EncodeFailure) else read


def require_crystal(path: Path) -> None:
    """Raises ValueError where not one crystal can be read from `path`, or `read_crystals` would."""
    first: FileCrystal | None = None
    for found in read_crystals(path):
        if not isinstance(found.crystal, DecodeFailure):
            return
        first = first or found
    why = f": {first.source}: {first.crystal.message}" if first and isinstance(first.crystal, DecodeFailure) else ""
    raise ValueError(f"path: {str(path)!r} holds no crystal that can be read{why}")


def columns_of(path: Path) -> list[str]:
    """What a table of any format says of its crystals: the header of a CSV, else what its first crystal has."""
    if path.name.lower().endswith((".csv", ".csv.gz")):
        return table_columns(path)
    first = next(iter(read_crystals(path)), None)
    return ["cif", *(first.columns if first else ())]


def table_columns(path: Path) -> list[str]:
    """The header of a CSV. Raises ValueError where it cannot be read."""
    try:
        return [str(name) for name in pd.read_csv(io.BytesIO(read_content(path)), nrows=0).columns]
    except UNREADABLE as error:
        raise ValueError(f"path: {str(path)!r} cannot be read: {' '.join(str(error).split())}") from error
