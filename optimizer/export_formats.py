"""The formats of the exported list: what each writes, for which programs.

ranking.csv          one line per candidate: pandas, spreadsheets
ranking.json         the same with the crystals, every stage's details, the spec and the provenance: pymatgen
cif/001_...cif       one file per candidate: VESTA and every other viewer
candidates.extxyz    one frame per candidate, in the order of rank: ASE, OVITO
candidates.db        an ASE database with every number as a key: `ase db candidates.db "bulk_modulus_gpa>200"`
NAME.zip             all of these that were asked for, or the usual ones, and how to read them: to send to somebody
"""

from __future__ import annotations

import csv
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from campaigns.errors import UnknownChoiceError
from campaigns.spreadsheets import as_cell

if TYPE_CHECKING:
    from ase import Atoms

    from optimizer.ranking import Ranked

OF_LISTS = re.compile(r"ranking\.(csv|json)|cif(/\d{3,}_[^/]+\.cif)?|candidates\.(extxyz|db)")
"""Paths of what is written, but for the archive, which has the campaign's name."""
USUAL = ("csv", "json", "cif", "extxyz")
CONTENTS = {
    "ranking.csv": "one line per candidate, best first; units stand at the end of the columns' names",
    "ranking.json": "the same with crystals (pymatgen dictionaries), details, campaign and versions",
    "cif": "one CIF per candidate, named by rank and formula",
    "candidates.extxyz": "all of them for ASE or OVITO",
    "candidates.db": "all of them as an ASE database",
    "campaign.yaml": "what was asked for; `optimize run campaign.yaml` asks it again",
}
README = """{name}: {count} candidates of a search for new inorganic crystals with latentore {version}.

{contents}

Nothing here is a measurement of a real sample: values come from the calculators and models that campaign.yaml names.
`flags` say what to be careful about, `why` why a candidate ranks where it does.
"""


@dataclass(frozen=True)
class Listing:
    """What is to be written: columns of every row, rows by rank, the document for JSON, entries with crystals."""

    campaign: str
    yaml: str
    version: str
    columns: Sequence[str]
    rows: Sequence[dict[str, Any]]
    document: dict[str, Any]
    entries: Sequence[Ranked]


def chosen_formats(names: Sequence[str]) -> tuple[str, ...]:
    """Names of formats, each once. Raises UnknownChoiceError naming those there are."""
    for name in names or ("",):
        if name not in WRITERS:
            raise UnknownChoiceError("--format", name, list(WRITERS))
    return tuple(dict.fromkeys(names))


def not_of_lists(folder: Path, campaign: str) -> list[Path]:
    """What stands in `folder` or its `cif` and was not written by an export of this campaign."""
    found = [path for place in (folder, folder / "cif") if place.is_dir() for path in sorted(place.iterdir())]
    ours = f"{campaign}.zip"
    return [path for path in found if path.name != ours and not OF_LISTS.fullmatch(path.relative_to(folder).as_posix())]


def write_formats(folder: Path, listing: Listing, formats: Sequence[str]) -> None:
    """Write the list in each of `formats` into an empty folder; the archive last, as it holds the others."""
    for name in sorted(formats, key=lambda name: name == "zip"):
        WRITERS[name](folder, listing)


def _csv(folder: Path, listing: Listing) -> None:
    with (folder / "ranking.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, listing.columns, lineterminator="\n")
        writer.writeheader()
        for row in listing.rows:
            writer.writerow({column: as_cell(row[column]) for column in listing.columns})


def _json(folder: Path, listing: Listing) -> None:
    text = json.dumps(listing.document, indent=1, allow_nan=False, ensure_ascii=False)
    (folder / "ranking.json").write_text(f"{text}\n", encoding="utf-8")


def _cif(folder: Path, listing: Listing) -> None:
    for row, entry in zip(listing.rows, listing.entries, strict=True):
        place = folder / row["file"]
        place.parent.mkdir(exist_ok=True)
        place.write_text(entry.cif, encoding="utf-8")


def _extxyz(folder: Path, listing: Listing) -> None:
    from ase.io import write

    frames = []
    for entry in listing.entries:
        atoms = _atoms(entry)
        atoms.info = {
            "rank": entry.rank,
            "id": entry.candidate.id,
            "space_group_number": entry.space_group.number,
            "feasible": entry.feasible,
            **entry.values,
        }
        frames.append(atoms)
    path = folder / "candidates.extxyz"
    if frames:
        write(path, frames, format="extxyz")
    else:
        path.touch()


def _ase_database(folder: Path, listing: Listing) -> None:
    from ase.db import connect
    from ase.db.core import reserved_keys

    with connect(folder / "candidates.db", type="db", append=False) as database:
        for row, entry in zip(listing.rows, listing.entries, strict=True):
            keys = {
                "rank": entry.rank,
                "candidate": entry.candidate.id,
                "space_group_number": entry.space_group.number,
                "feasible": entry.feasible,
                **{f"{name}_" if name in reserved_keys else name: value for name, value in entry.values.items()},
            }
            said = {name: row[name] for name in ("flags", "why", "nearest_known", "arm", "generator_version")}
            database.write(_atoms(entry), key_value_pairs=keys, data=said)


def _zip(folder: Path, listing: Listing) -> None:
    """What else was asked for, or the usual formats where nothing was."""
    if any(folder.iterdir()):
        _archive(folder, folder, listing)
        return
    with TemporaryDirectory() as scratch:
        write_formats(Path(scratch), listing, USUAL)
        _archive(folder, Path(scratch), listing)


def _archive(folder: Path, contents: Path, listing: Listing) -> None:
    """One folder inside, so that unpacking spills nothing."""
    name = listing.campaign
    paths = sorted(path for path in contents.rglob("*") if path.is_file())
    there = {path.relative_to(contents).parts[0] for path in paths} | {"campaign.yaml"}
    lines = "\n".join(f"{part:20}{words}" for part, words in CONTENTS.items() if part in there)
    readme = README.format(name=name, count=len(listing.entries), version=listing.version, contents=lines)
    with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}/README.txt", readme)
        archive.writestr(f"{name}/campaign.yaml", listing.yaml)
        for path in paths:
            archive.write(path, f"{name}/{path.relative_to(contents).as_posix()}")


def _atoms(entry: Ranked) -> Atoms:
    from pymatgen.io.ase import AseAtomsAdaptor

    return AseAtomsAdaptor.get_atoms(entry.crystal, msonable=False)


WRITERS: dict[str, Callable[[Path, Listing], None]] = {
    "csv": _csv,
    "json": _json,
    "cif": _cif,
    "extxyz": _extxyz,
    "ase-db": _ase_database,
    "zip": _zip,
}
