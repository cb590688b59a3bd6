"""A set of crystals, whatever file or folder it comes from."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Structure

from campaigns.errors import UnknownChoiceError, UserError
from generative.crystal_formats import NO_CELL, Unread, one_line, possible_cell, read_rows, unusable
from generative.protocols import EncodeFailure


@dataclass(frozen=True, eq=False)
class CrystalSet:
    """n crystals in the order of their source: a name for each, and the other columns it has, `[n, c]`."""

    source: Path
    names: tuple[str, ...]
    items: tuple[Unread, ...]
    columns: pd.DataFrame

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the crystals in their order, however the file was compressed or called."""
        found = hashlib.sha256()
        for item in self.items:
            found.update(hashlib.sha256(_content(item)).digest())
        return found.hexdigest()

    def numbers(self, column: str) -> NDArray[np.float64]:
        """A column as numbers `[n]`, NaN where a cell is empty, a word or not finite.

        Raises UserError where the column is missing, has decimal commas, or holds no two different numbers.
        """
        if column not in self.columns:
            choices = [str(name) for name in self.columns]
            if not choices:
                raise UserError(f"{self.source}: has no column {column!r}, nor any other beside its crystals.")
            raise UnknownChoiceError(f"{self.source}: label", column, choices)
        given = self.columns[column]
        commas = given.astype(str).str.fullmatch(r"\s*[-+]?\d+,\d+\s*")
        if commas.any():
            word = given[commas].iloc[0]
            raise UserError(f"{self.source}: column {column!r} holds {word!r}, a decimal comma.", "Write points.")
        parsed = pd.to_numeric(given, errors="coerce")
        values = parsed.to_numpy(dtype=float)
        values = np.where(np.isfinite(values), values, np.nan)
        if len(np.unique(values[np.isfinite(values)])) < 2:
            raise UserError(f"{self.source}: column {column!r} does not hold two different numbers.")
        return values

    def readable(self) -> Iterator[Structure | EncodeFailure]:
        """Every crystal, parsed as it is asked for."""
        return map(read_crystal, self.items)


def load_crystals(path: Path, cif_column: str = "cif") -> CrystalSet:
    """The crystals of a file or folder. Raises UserError where there are none or it cannot be read."""
    rows = list(read_rows(path, cif_column))
    if not rows:
        raise UserError(f"{path}: holds no crystals.")
    names, items, columns = zip(*rows, strict=True)
    return CrystalSet(path, names, items, pd.DataFrame.from_records(list(columns), index=range(len(rows))))


def read_crystal(item: Unread) -> Structure | EncodeFailure:
    """Parse one crystal."""
    if isinstance(item, Structure | EncodeFailure):
        return item
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):  # what is not finite is refused below
            # pymatgen tells of rounded coordinates and the like; failures it raises
            warnings.filterwarnings("ignore", category=UserWarning, module="pymatgen")
            if isinstance(item, dict):
                found = Structure.from_dict(item)
            else:
                found = Structure.from_str(item if isinstance(item, str) else item.read_text("utf-8"), fmt="cif")
            return found if possible_cell(found) else unusable(NO_CELL)
    except Exception as error:  # pymatgen's parsers let any kind through on malformed input
        kind = "structure" if isinstance(item, dict) else "CIF"
        return unusable(f"{kind} cannot be read: {one_line(error)}")


def _content(item: Unread) -> bytes:
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, Path):
        return item.read_bytes()
    if isinstance(item, dict):
        return json.dumps(item, sort_keys=True, default=str).encode()
    if isinstance(item, Structure):
        species = " ".join(str(site.species) for site in item).encode()
        return item.lattice.matrix.tobytes() + item.frac_coords.tobytes() + species
    return item.message.encode()
