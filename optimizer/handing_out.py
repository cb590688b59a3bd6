"""Files for whoever measures outside: a CIF per candidate, the manifest to fill in, VASP inputs on request.

A folder is complete before it has its name, and none that is there already is written to: somebody may have filled in
its manifest.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymatgen.core import Lattice, Structure

from campaigns.artifacts import sync_folder
from campaigns.errors import UnknownChoiceError, UserError
from campaigns.records import Property
from optimizer.cif import as_read_back
from optimizer.manifest import MANIFEST, manifest_text

POTCAR_NOTE = (
    "POTCAR files are covered by the VASP licence and are not written. POTCAR.spec names the potentials in the order\n"
    "of POSCAR; with your licensed files, pymatgen or `cat` makes POTCAR from it.\n"
)


@dataclass(frozen=True)
class HandedOut:
    """One candidate with the crystal to be measured."""

    id: str
    crystal: Structure


def vasp_set(name: str) -> type[Any]:
    """One of pymatgen's VASP input sets that needs nothing but a crystal, by its name.

    Raises UnknownChoiceError naming those there are, UserError for one that needs more (a previous calculation).
    """
    from pymatgen.io.vasp import sets

    kinds = {
        each: kind
        for each, kind in vars(sets).items()
        if isinstance(kind, type) and issubclass(kind, sets.VaspInputSet) and kind is not sets.VaspInputSet
    }
    if name not in kinds:
        raise UnknownChoiceError("--vasp", name, sorted(kinds))
    rock_salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with tempfile.TemporaryDirectory() as folder:
        try:
            _write_set(kinds[name], rock_salt, Path(folder))
        except Exception as error:  # each set asks for its own things in its own way
            why = " ".join(str(error).split())
            raise UserError(
                f"--vasp: {name} needs more than a crystal ({why}).", "Use a set like MPRelaxSet."
            ) from None
    return kinds[name]


def check_free(folder: Path) -> None:
    """Raises UserError where something is there that could be lost."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--out: {folder} is there already.", "Name a new or an empty folder.")


def free_folder(parent: Path) -> Path:
    """The first of asked/001, asked/002 ... that is not there. What a killed ask left half written is removed."""
    for left in (parent / "asked").glob(".[0-9]*-*"):
        shutil.rmtree(left, ignore_errors=True)
    number = 1
    while (folder := parent / "asked" / f"{number:03d}").exists():
        number += 1
    return folder


def write_folder(
    folder: Path, wanted: Sequence[HandedOut], properties: Sequence[Property], vasp: type[Any] | None = None
) -> list[str]:
    """Write everything to `folder`; returns what a person should know about it.

    Raises UserError where it cannot be written.
    """
    notes: list[str] = []
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        try:
            os.chmod(place, 0o755)  # mkdtemp makes it private
            notes = _fill(place, wanted, properties, vasp)
            os.rename(place, folder)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        sync_folder(folder.parent)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}).", "Choose another folder.") from None
    return notes


def _fill(
    place: Path, wanted: Sequence[HandedOut], properties: Sequence[Property], vasp: type[Any] | None
) -> list[str]:
    notes, lines = [], []
    (place / "cif").mkdir()
    for each in wanted:
        text, crystal = as_read_back(each.crystal)
        name = f"cif/{each.id}.cif"
        (place / name).write_text(text, "utf-8")
        lines.append((each.id, crystal.composition.reduced_formula, name))
        if vasp is not None:
            notes += [f"{each.id}: {note}" for note in _vasp_inputs(place / "vasp" / each.id, crystal, vasp)]
    if vasp is not None:
        (place / "vasp" / "README.txt").write_text("\n".join([POTCAR_NOTE, *notes]), "utf-8")
        notes.insert(0, " ".join(POTCAR_NOTE.split()))
    (place / MANIFEST).write_text(manifest_text(lines, properties), "utf-8")
    return notes


def _vasp_inputs(folder: Path, crystal: Structure, vasp: type[Any]) -> list[str]:
    """Write one input folder; what pymatgen warned of, or why there is none."""
    try:
        return _write_set(vasp, crystal, folder)
    except Exception as error:  # an element without potential in this set, for one
        shutil.rmtree(folder, ignore_errors=True)
        return [f"no VASP input, {vasp.__name__}: {' '.join(str(error).split())}"]


def _write_set(vasp: type[Any], crystal: Structure, folder: Path) -> list[str]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        vasp(crystal).write_input(folder, potcar_spec=True)
    # spglib announces a change of its error handling: pymatgen's affair
    told = [str(each.message) for each in seen if not issubclass(each.category, DeprecationWarning)]
    return sorted({" ".join(message.split()) for message in told})
