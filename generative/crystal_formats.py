"""The rows of a file or folder of crystals: CSV with CIFs, CIF files, ASE databases, extended XYZ, pymatgen JSON.

What is slow to parse stays unread (`Unread`); what cannot be read becomes an `EncodeFailure` in its place, so that
every row of the source keeps its number.
"""

from __future__ import annotations

import io
import json
import re
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pymatgen.core import Element, Structure

from campaigns.contents import read_content
from campaigns.errors import UserError
from campaigns.records import FailureCode
from generative.protocols import EncodeFailure
from generative.remote_sources import SOURCES, fetched, is_remote

if TYPE_CHECKING:
    from ase import Atoms

Unread = str | Path | dict[str, Any] | Structure | EncodeFailure  # CIF text, CIF file, pymatgen dictionary, or read
Row = tuple[str, Unread, Mapping[str, Any]]  # name, crystal, what else its source says about it

FORMATS = f".csv, .csv.gz, .cif, .db, .json, .json.gz, .xyz, .extxyz, a folder of .cif files, {SOURCES}"
THINNEST_ANG, LONGEST_ANG, LARGEST_ANG3, FARTHEST_CELLS = 0.1, 200.0, 1e6, 100.0
"""Beyond (the last: atoms so many cells away) is a misprint or worse, and neighbours take minutes or gigabytes."""
NO_CELL = (
    f"no cell of a crystal: it must be {THINNEST_ANG:g} to {LONGEST_ANG:g} angstrom wide in every direction, "
    f"with atoms at most {FARTHEST_CELLS:g} cells away"
)
NAME_COLUMNS = ("material_id", "id", "name")
UNREADABLE = (OSError, EOFError, zlib.error, ValueError, RecursionError, sqlite3.Error)
"""What parsers raise on a broken file."""


def read_rows(path: Path, cif_column: str) -> Iterator[Row]:
    """`path` may name a source elsewhere (`generative.remote_sources`), which is fetched once.

    Raises UserError where it is missing, of no known format, or cannot be read or fetched.
    """
    if is_remote(path):
        path = fetched(path)
    try:
        yield from _reader(path)(path, cif_column)
    except UserError:
        raise
    except UNREADABLE as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)}).", f"Give {FORMATS}.") from None


def _reader(path: Path) -> Callable[[Path, str], Iterable[Row]]:
    if not path.exists():
        raise UserError(f"{path}: no such file or folder.", f"Give {FORMATS}.")
    if path.is_dir():
        return _cif_folder
    readers = {
        ".csv": _csv,
        ".csv.gz": _csv,
        ".cif": _one_cif,
        ".db": _ase_database,
        ".json": _json,
        ".json.gz": _json,
        ".xyz": _extended_xyz,
        ".extxyz": _extended_xyz,
    }
    for ending, reader in readers.items():
        if path.name.lower().endswith(ending):
            return reader
    raise UserError(f"{path}: format not known.", f"Give {FORMATS}.")


def _csv(path: Path, cif_column: str) -> Iterator[Row]:
    table = pd.read_csv(io.BytesIO(read_content(path)), low_memory=False)
    if cif_column not in table.columns:
        columns = ", ".join(map(str, table.columns))
        raise UserError(
            f"{path}: no column `{cif_column}` among {columns}.", "Add one, or name the column that holds the CIFs."
        )
    named = next((name for name in NAME_COLUMNS if name in table.columns), None)
    for i, row in enumerate(table.to_dict("records")):
        cif = row.pop(cif_column)
        name = f"row {i + 2}" if named is None or pd.isna(row[named]) else str(row[named])
        unread: Unread = cif if isinstance(cif, str) and cif.strip() else unusable("no CIF")
        if isinstance(unread, str) and len(blocks := cif_blocks(unread)) > 1:
            unread = unusable(f"{len(blocks)} crystals in one cell of the table")
        yield name, unread, _text_keys(row)


def _cif_folder(path: Path, cif_column: str) -> Iterator[Row]:
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() == ".cif" and file.is_file())
    if not files:
        raise UserError(f"{path}: holds no .cif file, nor do the folders in it.")
    for file in files:
        yield from _crystals_of(file, str(file.relative_to(path)))


def _one_cif(path: Path, cif_column: str) -> Iterator[Row]:
    yield from _crystals_of(path, path.name)


def _crystals_of(file: Path, name: str) -> Iterator[Row]:
    """The file, or each of its crystals where it holds several."""
    try:
        blocks = cif_blocks(file.read_text("utf-8", errors="replace"))
    except OSError:
        blocks = {}  # told where it is parsed
    if len(blocks) < 2:
        yield name, file, {}
    else:
        yield from ((f"{name}#{label}", text, {}) for label, text in blocks.items())


def cif_blocks(text: str) -> dict[str, str]:
    """The data blocks of a CIF that hold a cell, by label; a label that comes again gets a number, where pymatgen's
    CifFile keeps the last block of it."""
    found: dict[str, str] = {}
    for block in re.split(r"(?m)^(?=data_)", text):
        if block.startswith("data_") and "_cell_length_a" in block:
            label = block.split(maxsplit=1)[0].removeprefix("data_")
            again = sum(each.partition("#")[0] == label for each in found)
            found[f"{label}#{again + 1}" if again else label] = block
    return found


def _json(path: Path, cif_column: str) -> Iterator[Row]:
    document = json.loads(read_content(path))
    if isinstance(document, dict) and {"ids", "nextid"} <= document.keys():
        yield from _ase_database(path, cif_column)
        return
    for key in ("entries", "candidates"):  # of a phase diagram; of an exported list
        if isinstance(document, dict) and isinstance(document.get(key), list):
            document = document[key]
    if isinstance(document, dict) and ("sites" in document or "structure" in document):
        document = [document]
    if isinstance(document, dict):
        yield from (_entry(str(name), entry) for name, entry in document.items())
    elif isinstance(document, list):
        yield from (_entry("", entry, i) for i, entry in enumerate(document))
    else:
        raise UserError(f"{path}: is no list or dictionary of structures.", "Write it with pymatgen's as_dict().")


def _entry(name: str, entry: object, i: int = 0) -> Row:
    """A Structure's dictionary, or one that holds such a dictionary as `structure`, like ComputedStructureEntry's."""
    if not isinstance(entry, dict):
        return name or f"[{i}]", unusable("no dictionary of a structure"), {}
    said = {**_scalars(entry), **_scalars(entry.get("data")), **_scalars(entry.get("properties"))}
    given = [entry[key] for key in (*NAME_COLUMNS, "entry_id") if entry.get(key) is not None]
    name = name or (str(given[0]) if given else f"[{i}]")
    structure = entry if "sites" in entry else entry.get("structure")
    if not isinstance(structure, dict):
        return name, unusable("neither `sites` nor a dictionary `structure`"), said
    return name, structure, said


def _ase_database(path: Path, cif_column: str) -> Iterator[Row]:
    from ase.db import connect

    with connect(path, use_lock_file=False) as database:
        for row in database.select():
            yield str(row.id), _from_atoms(row.toatoms), _scalars(row.key_value_pairs)


def _extended_xyz(path: Path, cif_column: str) -> Iterator[Row]:
    from ase.io import iread

    frames, i = iread(path, index=":", format="extxyz"), 0
    while True:
        try:
            frame: Atoms = next(frames)
        except StopIteration:
            return
        except Exception as error:  # ase raises many kinds, and cannot find the next frame after one it cannot read
            reason = f"frame cannot be read, nor could what follows it: {one_line(error)}"
            yield f"frame {i}", unusable(reason), {}
            return
        results = frame.calc.results if frame.calc is not None else {}
        yield f"frame {i}", _from_atoms(frame.copy), {**_scalars(results), **_scalars(frame.info)}
        i += 1


def _from_atoms(make: Callable[[], Atoms]) -> Structure | EncodeFailure:
    try:
        atoms = make()
        if atoms.cell.rank < 3 or not atoms.pbc.all():
            return unusable("not periodic in three directions")
        species = [Element.from_Z(int(number)) for number in atoms.numbers]
        found = Structure(atoms.cell.array, species, atoms.positions, coords_are_cartesian=True)
        return found if possible_cell(found) else unusable(NO_CELL)
    except Exception as error:  # whatever a foreign file makes ASE or pymatgen raise
        return unusable(f"atoms cannot be read: {one_line(error)}")


def possible_cell(crystal: Structure) -> bool:
    """Finite, with lattice planes as far apart, and edges and a volume as large, as those of crystals."""
    matrix = crystal.lattice.matrix
    if not len(crystal) or not np.isfinite(matrix).all():
        return False
    if not np.abs(crystal.frac_coords).max() <= FARTHEST_CELLS:  # nor is it where one is NaN
        return False
    edges, volume = np.linalg.norm(matrix, axis=1), abs(float(np.linalg.det(matrix)))
    faces = np.linalg.norm(np.cross(matrix, np.roll(matrix, 1, axis=0)), axis=1)
    thick_enough = volume > 0 and volume / faces.max() >= THINNEST_ANG
    return bool(thick_enough and volume <= LARGEST_ANG3 and edges.max() <= LONGEST_ANG)


def _scalars(said: object) -> dict[str, float]:
    if not isinstance(said, dict):
        return {}
    return {
        str(key): float(value)
        for key, value in said.items()
        if isinstance(value, int | float | np.number) and not isinstance(value, bool)
    }


def _text_keys(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in row.items()}


def unusable(reason: str) -> EncodeFailure:
    return EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, reason)


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
