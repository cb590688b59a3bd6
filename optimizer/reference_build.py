"""Build a table of known crystals from any crystals that the project reads: `optimize references build`.

Of each crystal: a potential's energy at the geometry given (or relaxed with it), the space group at symprec 0.1
angstrom and the fingerprint. The table names the potential, and with `structures` holds the crystals themselves, so
that novelty can match structures. A checkpoint beside it is written as it goes; run it again to go on. The bundled
table is one without structures: 17,284 crystals of up to 52 atoms took CHGNet half an hour or so on one core.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import moyopy
from pymatgen.core import Structure
from rich.progress import track

from campaigns.artifacts import write_durably
from campaigns.crystals import crystal_from_json, crystal_to_json
from campaigns.errors import UserError
from campaigns.records import Failed
from generative.crystal_formats import read_rows
from generative.loading import read_crystal
from generative.protocols import EncodeFailure
from generative.representations.wyckoff import fingerprint
from optimizer.calculators import CHGNET, CalculatorParams, Potential, potential
from optimizer.reference_files import COLUMNS, CRYSTAL_COLUMN, POTENTIAL_COLUMN
from optimizer.relaxation import RelaxationLimits, relax, single_point_energy

BATCH = 16
CHECKPOINT_EVERY = 20  # batches, where they take a second each: every one of relaxations


@dataclass(frozen=True)
class BuildReport:
    """What a table holds, and what it leaves out: rows that are no crystal, by name with the reason."""

    rows: int
    energies: int
    fingerprints: int
    refused: dict[str, str]
    elements_without_energy: tuple[str, ...]


def build_references(
    data: Path,
    out: Path,
    params: CalculatorParams,
    *,
    device: str = "cpu",
    cif_column: str = "cif",
    relaxed: bool = False,
    structures: bool = True,
) -> BuildReport:
    """Make the table `out` (a gzipped CSV) of the crystals in `data`.

    Raises UserError where these cannot be read, hold no crystal, or the potential cannot be had.
    """
    if not out.name.endswith((".csv", ".csv.gz")):
        raise UserError(f"{out}: a table is a CSV.", "Give --out a name that ends in .csv.gz.")
    try:
        chosen = potential(params, device)
    except ValueError as error:
        raise UserError(f"--calculator: {error}.") from error
    crystals, refused = read_named(data, cif_column)
    if not crystals:
        why = next(iter(refused.items()), None)
        raise UserError(f"{data}: holds no crystal that can be read{f' ({why[0]}: {why[1]})' if why else ''}.")
    found = _computed(crystals, out, chosen, relaxed)
    return write_table(out, found, chosen, structures=structures, refused=refused)


def read_named(data: Path, cif_column: str = "cif") -> tuple[dict[str, Structure], dict[str, str]]:
    """Name -> crystal, smallest first, and name -> why it was refused. Names that repeat get a number."""
    crystals: dict[str, Structure] = {}
    refused: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for given, unread, _ in read_rows(data, cif_column):
        seen[given] += 1
        name = given if seen[given] == 1 else f"{given}#{seen[given]}"
        crystal = read_crystal(unread)
        if isinstance(crystal, EncodeFailure):
            refused[name] = crystal.message
        elif not crystal.is_ordered:
            refused[name] = "partial occupancies"
        else:
            crystals[name] = crystal.copy(site_properties={}).remove_oxidation_states()
    return dict(sorted(crystals.items(), key=lambda item: len(item[1]))), refused


def write_table(
    path: Path,
    found: dict[str, tuple[Structure, float | None]],
    chosen: Potential,
    *,
    structures: bool,
    refused: dict[str, str] | None = None,
) -> BuildReport:
    """Name -> (crystal, eV/atom or None) as rows by name; the same input gives the same bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, POTENTIAL_COLUMN, *([CRYSTAL_COLUMN] if structures else [])])
    coded, elements, with_energy = 0, set(), set()
    for name in sorted(found):
        crystal, energy = found[name]
        mark = fingerprint(crystal)
        code = "" if isinstance(mark, EncodeFailure) else mark
        group = code.partition(":")[0] or space_group_number(crystal)
        shown = "" if energy is None else f"{energy:.5f}"
        kept = [crystal_to_json(crystal)] if structures else []
        writer.writerow([name, crystal.composition.reduced_formula, group, code, shown, chosen.version, *kept])
        coded += bool(code)
        symbols = {element.symbol for element in crystal.composition.elements}
        elements |= symbols
        if energy is not None and len(symbols) == 1:
            with_energy |= symbols
    data = text.getvalue().encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    energies = sum(energy is not None for _, energy in found.values())
    return BuildReport(len(found), energies, coded, refused or {}, tuple(sorted(elements - with_energy)))


def _computed(
    crystals: dict[str, Structure], out: Path, chosen: Potential, relaxed: bool
) -> dict[str, tuple[Structure, float | None]]:
    """Name -> crystal as its energy belongs to it, and the energy; what the checkpoint holds is not computed again."""
    keys = {name: _key(crystal, chosen, relaxed) for name, crystal in crystals.items()}
    checkpoint = out.with_name(f"{out.name}.partial.json")
    values: dict[str, Any] = json.loads(checkpoint.read_text()) if checkpoint.exists() else {}
    missing = [name for name in crystals if keys[name] not in values]
    batches = [missing[start : start + BATCH] for start in range(0, len(missing), BATCH)]
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    for done, names in enumerate(track(batches, "energies", disable=not sys.stderr.isatty()), 1):
        answers = _energies([crystals[name] for name in names], chosen, relaxed)
        values.update(zip((keys[name] for name in names), answers, strict=True))
        if relaxed or done % CHECKPOINT_EVERY == 0 or done == len(batches):
            fresh = checkpoint.with_name(checkpoint.name + ".tmp")
            fresh.write_text(json.dumps(values))
            os.replace(fresh, checkpoint)
    found = {}
    for name, crystal in crystals.items():
        energy, moved = values[keys[name]]
        found[name] = (crystal if moved is None else crystal_from_json(json.dumps(moved)), energy)
    return found


def _key(crystal: Structure, chosen: Potential, relaxed: bool) -> str:
    return hashlib.sha256(f"{crystal_to_json(crystal)} {chosen.version} {relaxed}".encode()).hexdigest()[:24]


def _energies(
    batch: list[Structure], chosen: Potential, relaxed: bool
) -> list[tuple[float | None, dict[str, Any] | None]]:
    """eV/atom, None where there is none; and the relaxed crystal where it was relaxed."""
    if chosen.name == CHGNET and not relaxed:
        from optimizer.chgnet_calculator import LeanCHGNetCalculator, batch_energies

        model = cast(LeanCHGNetCalculator, chosen.calculator).model
        return [(energy, None) for energy in batch_energies(model, batch)]
    answers: list[tuple[float | None, dict[str, Any] | None]] = []
    for crystal in batch:
        if relaxed:
            answers.append(_relaxed(crystal, chosen))
        else:
            energy = single_point_energy(crystal, chosen.calculator)
            answers.append((None if isinstance(energy, Failed) else energy, None))
    return answers


def _relaxed(crystal: Structure, chosen: Potential) -> tuple[float | None, dict[str, Any] | None]:
    outcome = relax(crystal, chosen.calculator, RelaxationLimits())
    if isinstance(outcome, Failed):
        return None, None
    return outcome.energy_ev_atom, json.loads(crystal_to_json(outcome.crystal))


def space_group_number(crystal: Structure, symprec_ang: float = 0.1) -> int | str:
    """moyopy's space-group number, "" where it finds none."""
    cell = moyopy.Cell(crystal.lattice.matrix.tolist(), crystal.frac_coords.tolist(), list(crystal.atomic_numbers))
    try:
        return int(moyopy.MoyoDataset(cell, symprec=symprec_ang).number)
    except ValueError:
        return ""
