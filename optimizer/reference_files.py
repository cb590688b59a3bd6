"""The file of a table of known crystals, read row by row and refused at the first row that cannot be one."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from campaigns.contents import gunzipped, read_content
from campaigns.elements import SYMBOLS
from campaigns.errors import UserError
from optimizer.formulas import FORMULA_PART

COLUMNS = ("material_id", "formula", "space_group", "fingerprint", "energy_ev_atom")
POTENTIAL_COLUMN, CRYSTAL_COLUMN = "potential", "crystal"  # a table may have these as well
FORMULA_GROUP = re.compile(r"\(((?:[A-Z][a-z]?[\d.]*)+)\)\d{0,3}")  # one deep, as pymatgen reduces formulas
BUILD_REMEDY = "Give a table made by `optimize references build`."
BUNDLED_POTENTIAL = "chgnet-0.3.0"
WIDEST_CELL = 10_000_000  # characters: a crystal of a hundred thousand sites
MOST_ATOMS = 1e6
LOWEST_EV_ATOM, HIGHEST_EV_ATOM = -1e3, 1e3


@dataclass(frozen=True)
class ReferenceRows:
    """Columns of a table, each of the same length; see `optimizer.references.ReferenceTable`."""

    material_ids: tuple[str, ...]
    formulas: tuple[str, ...]
    space_groups: tuple[int, ...]
    fingerprints: tuple[str, ...]
    energies_ev_atom: tuple[float, ...]
    version: str
    potential: str
    crystals: tuple[str, ...]


def read_reference_rows(path: Path | None) -> ReferenceRows:
    """The bundled table where there is no path.

    Raises UserError where a file cannot be read, lacks a column, or has a row that is no crystal: with its line.
    """
    if path is None:
        content = gunzipped(files("optimizer").joinpath("data/reference.csv.gz").read_bytes())
        return _columns(path, content)
    try:
        return _columns(path, read_content(path))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}.", BUILD_REMEDY) from None
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read ({error}).", BUILD_REMEDY) from None


def _columns(path: Path | None, content: bytes) -> ReferenceRows:
    csv.field_size_limit(WIDEST_CELL)
    rows = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""))
    if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
        remedy = f"A reference table has the columns {', '.join(COLUMNS)}."
        raise UserError(f"{path}: lacks the column {missing[0]}.", remedy)
    cells, crystals, potentials = [], [], set()
    for row in rows:
        if path is not None and (wrong := _fault(row)):
            raise UserError(f"{path}, line {rows.line_num}: {wrong}.", BUILD_REMEDY)
        cells.append([row[name] for name in COLUMNS])
        crystals.append(row.get(CRYSTAL_COLUMN) or "")
        potentials.add(row.get(POTENTIAL_COLUMN) or BUNDLED_POTENTIAL)
    if len(potentials) != 1:
        raise UserError(f"{path}: holds {'energies of several potentials' if potentials else 'no row'}.", BUILD_REMEDY)
    ids, formulas, groups, codes, energies = zip(*cells, strict=True)
    return ReferenceRows(
        material_ids=ids,
        formulas=formulas,
        space_groups=tuple(int(group or 0) for group in groups),
        fingerprints=codes,
        energies_ev_atom=tuple(float(energy) if energy else math.nan for energy in energies),
        version=hashlib.sha256(content).hexdigest()[:12],
        potential=potentials.pop(),
        crystals=tuple(crystals) if any(crystals) else (),
    )


def _fault(row: Mapping[str, str | None]) -> str:
    """What is wrong with a row; empty where nothing is."""
    if None in row.values() or None in row:
        return "has more or fewer cells than the header"
    cells = {name: cell or "" for name, cell in row.items()}
    if problem := _fault_of_formula(cells["formula"]):
        return problem
    group = cells["space_group"]
    if group and not (group.isascii() and group.isdigit() and len(group) < 4 and int(group) <= 230):
        return f"space_group is {group!r}, not 1 to 230 or empty"
    if (energy := cells["energy_ev_atom"]) and not LOWEST_EV_ATOM <= _number(energy) <= HIGHEST_EV_ATOM:
        return f"energy_ev_atom is {energy!r}, no energy of an atom in eV"
    crystal = cells.get(CRYSTAL_COLUMN, "")
    return "" if not crystal or _is_crystal(crystal) else f"{CRYSTAL_COLUMN} is no crystal as that command writes it"


def _fault_of_formula(formula: str) -> str:
    flat = FORMULA_GROUP.sub(r"\1", formula)
    parts = FORMULA_PART.findall(flat)
    amounts = [_number(amount or "1") for _, amount in parts]
    if not parts or "".join(symbol + amount for symbol, amount in parts) != flat:
        return f"formula is {formula!r}, which cannot be read; write it like LiFePO4"
    if unknown := [symbol for symbol, _ in parts if symbol not in SYMBOLS]:
        return f"formula is {formula!r}, and {unknown[0]!r} is no element"
    if not all(0 < amount <= MOST_ATOMS for amount in amounts):
        return f"formula is {formula!r}, with an amount of no atoms"
    return ""


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _is_crystal(text: str) -> bool:
    """As `campaigns.crystals` writes one: read only when a crystal of the same formula is met, hours later."""
    try:
        found = json.loads(text)
        vectors = [*found["lattice"], *found["coords"]]
        numbers = [float(x) for vector in vectors for x in vector]
        shaped = len(found["lattice"]) == 3 and all(len(vector) == 3 for vector in vectors)
        return shaped and len(found["species"]) == len(found["coords"]) > 0 and all(map(math.isfinite, numbers))
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
