"""Build the reference table of known crystals: `python -m optimizer.reference_build --data CSV --out FILE`.

CSV has the columns material_id and cif. For each crystal: CHGNet's energy at the geometry given, the space
group at symprec 0.1 angstrom and the fingerprint. Both checkpoints are written as it goes; run it again to go
on. 17,284 crystals of up to 52 atoms take half an hour or so on one core.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import moyopy
from pymatgen.core import Structure
from rich.progress import track

from generative.protocols import EncodeFailure
from generative.representations.wyckoff import fingerprint
from optimizer.calculators import CalculatorParams, potential
from optimizer.references import COLUMNS

BATCH = 16
CHECKPOINT_EVERY = 320


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m optimizer.reference_build", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="CSV, plain or gzipped, with material_id and cif")
    parser.add_argument("--out", type=Path, required=True, help="the table, a gzipped CSV")
    parser.add_argument("--energies", type=Path, help="checkpoint of energies, {material_id: eV/atom}")
    parser.add_argument("--fingerprints", type=Path, help="checkpoint of fingerprints, {material_id: text}")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    given = parser.parse_args(arguments)
    logging.getLogger("moyo").setLevel(logging.ERROR)  # it notes every cell that is not primitive
    crystals = read_crystals(given.data)
    energies = computed(
        crystals,
        given.energies or given.out.with_suffix(".energies.json"),
        "energies",
        lambda batch: _energies(batch, given.device),
    )
    fingerprints = computed(
        crystals,
        given.fingerprints or given.out.with_suffix(".fingerprints.json"),
        "fingerprints",
        _fingerprints,
    )
    write_table(given.out, crystals, energies, fingerprints)
    with_energy = sum(energies[name] is not None for name in crystals)
    with_code = sum(bool(fingerprints[name]) for name in crystals)
    print(
        f"{given.out}: {len(crystals)} crystals, {with_energy} energies, {with_code} fingerprints",
        file=sys.stderr,
    )


def read_crystals(path: Path) -> dict[str, Structure]:
    """material_id -> crystal, smallest first."""
    csv.field_size_limit(10_000_000)
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        rows = [(row["material_id"], row["cif"]) for row in csv.DictReader(file)]
    with warnings.catch_warnings():  # pymatgen says that it rounds coordinates like 0.3333
        warnings.filterwarnings("ignore", message="Issues encountered while parsing CIF")
        crystals = {
            name: Structure.from_str(cif, fmt="cif")
            for name, cif in track(rows, "reading", disable=not sys.stderr.isatty())
        }
    return dict(sorted(crystals.items(), key=lambda item: len(item[1])))


def computed(
    crystals: dict[str, Structure],
    checkpoint: Path,
    label: str,
    compute: Callable[[list[Structure]], list[Any]],
) -> dict[str, Any]:
    """material_id -> value, those in the checkpoint taken from there, the rest computed and added to it."""
    values: dict[str, Any] = json.loads(checkpoint.read_text()) if checkpoint.exists() else {}
    missing = [name for name in crystals if name not in values]
    batches = [missing[start : start + BATCH] for start in range(0, len(missing), BATCH)]
    for done, names in enumerate(track(batches, label, disable=not sys.stderr.isatty()), 1):
        values.update(zip(names, compute([crystals[name] for name in names]), strict=True))
        if done * BATCH % CHECKPOINT_EVERY == 0 or done == len(batches):
            fresh = checkpoint.with_name(checkpoint.name + ".tmp")
            fresh.write_text(json.dumps(values))
            os.replace(fresh, checkpoint)
    return values


def write_table(
    path: Path, crystals: dict[str, Structure], energies: dict[str, Any], fingerprints: dict[str, Any]
) -> None:
    """Rows by material id; the same input gives the same bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name in sorted(crystals):
        crystal, energy, code = crystals[name], energies[name], fingerprints[name]
        group = code.partition(":")[0] if code else space_group_number(crystal)
        shown = "" if energy is None else f"{energy:.5f}"
        writer.writerow([name, crystal.composition.reduced_formula, group, code or "", shown])
    path.write_bytes(gzip.compress(text.getvalue().encode("utf-8"), mtime=0))


def space_group_number(crystal: Structure, symprec_ang: float = 0.1) -> int | str:
    """moyopy's space-group number, "" where it finds none."""
    cell = moyopy.Cell(crystal.lattice.matrix.tolist(), crystal.frac_coords.tolist(), list(crystal.atomic_numbers))
    try:
        return int(moyopy.MoyoDataset(cell, symprec=symprec_ang).number)
    except ValueError:
        return ""


def _energies(batch: list[Structure], device: str) -> list[float | None]:
    from optimizer.chgnet_calculator import LeanCHGNetCalculator, batch_energies

    calculator = cast(LeanCHGNetCalculator, potential(CalculatorParams(), device).calculator)
    return batch_energies(calculator.model, batch)


def _fingerprints(batch: list[Structure]) -> list[str | None]:
    codes = (fingerprint(crystal) for crystal in batch)
    return [None if isinstance(code, EncodeFailure) else code for code in codes]


if __name__ == "__main__":
    main()
