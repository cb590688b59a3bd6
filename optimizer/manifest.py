"""The table that goes out with candidates and comes back with values.

    candidate, formula, file, band_gap_ev [eV], band_gap_ev uncertainty [eV], failure, relaxed_file

One row per candidate. Units stand in the header, and a header with another unit is refused: a spreadsheet in which
somebody converted a column must not be read as if nobody had.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from campaigns.errors import UserError
from campaigns.records import Property, is_value
from campaigns.spreadsheets import as_cell

CANDIDATE, FORMULA, FILE, FAILURE, RELAXED = "candidate", "formula", "file", "failure", "relaxed_file"
NO_FAILURE_WORDS = ("none", "no", "-", "--", "n/a", "na", "nan", "null")  # in a cell of `failure`: it is not filled in
MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class Told:
    """A row that can be read: values and uncertainties (standard deviations) in the properties' units, or a failure in
    the teller's words; `relaxed_file` is empty where the crystal is the one that was handed out.
    """

    candidate_id: str
    values: Mapping[str, float]
    uncertainties: Mapping[str, float]
    failure: str = ""
    relaxed_file: str = ""


@dataclass(frozen=True)
class Refusal:
    """A row that is not taken, and why."""

    candidate_id: str
    reason: str


@dataclass(frozen=True)
class Results:
    """What a table says: by the number a spreadsheet shows for the row (the header is 1). Rows in which nothing is
    filled in are left out and counted; `unread` are columns that mean nothing here.
    """

    rows: Mapping[int, Told | Refusal]
    empty: int
    unread: tuple[str, ...]


def value_column(prop: Property) -> str:
    return f"{prop.name} [{prop.unit}]"


def uncertainty_column(prop: Property) -> str:
    return f"{prop.name} uncertainty [{prop.unit}]"


def manifest_columns(properties: Sequence[Property]) -> list[str]:
    pairs = [column for prop in properties for column in (value_column(prop), uncertainty_column(prop))]
    return [CANDIDATE, FORMULA, FILE, *pairs, FAILURE, RELAXED]


def manifest_text(lines: Sequence[tuple[str, str, str]], properties: Sequence[Property]) -> str:
    """The table for `(candidate, formula, file)`, to be filled in."""
    text = io.StringIO()
    columns = manifest_columns(properties)
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows([*map(as_cell, line), *[""] * (len(columns) - 3)] for line in lines)
    return text.getvalue()


def read_results(path: Path, properties: Sequence[Property]) -> Results:
    """Raises UserError where there is no such table, or its header lacks a column or names another unit."""
    header, lines = _table(path)
    _check_header(path, header, properties)
    rows: dict[int, Told | Refusal] = {}
    empty = 0
    for number, cells in lines:
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        if row.get(FAILURE, "").lower() in NO_FAILURE_WORDS:
            row[FAILURE] = ""
        filled = [name for name in _asked(properties) if row.get(name)]
        if not filled:
            empty += any(row.values())
            continue
        found = _row(row, properties)
        too_long = len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :])
        rows[number] = Refusal(row.get(CANDIDATE, ""), "has more cells than the header") if too_long else found
    return Results(rows, empty, tuple(name for name in header if name and name not in manifest_columns(properties)))


def _asked(properties: Sequence[Property]) -> list[str]:
    return manifest_columns(properties)[3:]


def _table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.", "Give the manifest with its values filled in.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}).", "Save it as CSV in UTF-8.") from None
    first = text.partition("\n")[0]
    separator = ";" if first.count(";") > first.count(",") else ","
    try:
        found = [(number, cells) for number, cells in enumerate(csv.reader(io.StringIO(text), delimiter=separator), 1)]
    except csv.Error as error:
        raise UserError(f"{path}: is no CSV ({error}).", "Save it as CSV in UTF-8.") from None
    if not found or not any(found[0][1]):
        raise UserError(f"{path}: has no header.", "Give the manifest with its values filled in.")
    return [name.strip() for name in found[0][1]], found[1:]


def _check_header(path: Path, header: Sequence[str], properties: Sequence[Property]) -> None:
    for name in (CANDIDATE, *_asked(properties)):
        if header.count(name) > 1:
            raise UserError(f"{path}: has the column {name!r} twice.", "Keep one of them.")
    if CANDIDATE not in header:
        raise UserError(f"{path}: has no column {CANDIDATE!r}; it has {', '.join(header)}.", "Keep it as it was asked.")
    for prop in properties:
        for wanted, bare in (
            (value_column(prop), prop.name),
            (uncertainty_column(prop), f"{prop.name} uncertainty"),
        ):
            if wanted in header:
                continue
            near = [name for name in header if name.partition("[")[0].strip() == bare]
            if near:
                unit = near[0].partition("[")[2].removesuffix("]").strip()
                says = f"is in {unit!r}" if unit else "names no unit"
                raise UserError(f"{path}: column {near[0]!r} {says}.", f"Give it in {prop.unit}, as {wanted!r}.")
            if wanted == value_column(prop):
                raise UserError(f"{path}: has no column {wanted!r}; it has {', '.join(header)}.", "Add it.")


def _row(row: Mapping[str, str], properties: Sequence[Property]) -> Told | Refusal:
    name, failure = row.get(CANDIDATE, ""), row.get(FAILURE, "")
    if not name:
        return Refusal("", f"the column {CANDIDATE!r} is empty")
    values: dict[str, float] = {}
    uncertainties: dict[str, float] = {}
    for prop in properties:
        for column, kept in ((value_column(prop), values), (uncertainty_column(prop), uncertainties)):
            if cell := row.get(column):
                number = _finite(cell)
                if number is None:
                    return Refusal(name, f"{column} is {cell!r}, which is no finite number")
                kept[prop.name] = number
        if uncertainties.get(prop.name, 0.0) < 0:
            return Refusal(name, f"{uncertainty_column(prop)} is {row[uncertainty_column(prop)]}, below zero")
    if failure:
        given = [*values, *(f"{each} uncertainty" for each in uncertainties), *([RELAXED] if row.get(RELAXED) else [])]
        if given:
            return Refusal(name, f"has a failure and {', '.join(given)}; keep one or the other")
        return Told(name, {}, {}, failure=failure)
    if lacking := [prop.name for prop in properties if prop.name not in values]:
        return Refusal(name, f"has no {', '.join(lacking)}; fill in every property, or say in `failure` why not")
    return Told(name, values, uncertainties, relaxed_file=row.get(RELAXED, ""))


def _finite(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if is_value(number) and "_" not in cell else None
