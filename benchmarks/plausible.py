"""Crystals that samples of a generator shall resemble: relatives of known ones that a potential finds nearly stable.

    python -m benchmarks.plausible --data mp_train.csv.gz --out plausible.csv.gz --copies 4 --seed 1
    optimize train --data mp_train.csv.gz --plausible plausible.csv.gz --out generator

Elements of crystals within 0.1 eV/atom of the hull are exchanged as known compounds do. Of what comes out is kept what
is charge-neutral or of metals alone, neither known nor of a held-out formula, and within 0.15 eV/atom of the hull by
CHGNet's energy in the scaled cell of its parent, unrelaxed. As many of them hold an anion as of the data. CHGNet stands
behind this choice as it stands behind `benchmarks.generator --relax`: samples that are stable there were taught so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pymatgen.core import Structure

from campaigns.records import Failed
from campaigns.workers import worker_pool
from generative.augmentation import substituted
from generative.datasets import MAX_ORBITS, Codes, encode_set
from generative.loading import load_crystals
from generative.plausible import EXCHANGES, balanced, holds_anion
from generative.progress import tracked
from generative.representations.wyckoff import crystal_of, fingerprint
from generative.training_set import divide, read_labels, refused_rows
from generative.training_settings import TrainingSettings
from optimizer.calculators import CalculatorParams, potential
from optimizer.chgnet_batch import CrystalBatch
from optimizer.chgnet_calculator import LeanCHGNetCalculator
from optimizer.references import ReferenceTable

PARTS = 2  # the parents are gone through in two halves, whatever the number of processes
PARENT_EV_ATOM, NEAR_EV_ATOM = 0.1, 0.15
TOGETHER = 32  # crystals in one pass of CHGNet


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plausible", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="crystals with the column e_above_hull, eV/atom")
    parser.add_argument("--out", type=Path, required=True, help="a CSV of CIFs")
    parser.add_argument("--copies", type=int, default=4, help="relatives tried per crystal")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print("command: python -m benchmarks.plausible", *sys.argv[1:])
    parents, anions, held = _parents(given.data)
    tasks = [(part, parents.take(np.arange(len(parents))[part::PARTS]), given, held) for part in range(PARTS)]
    with worker_pool(PARTS) as pool:
        found = [crystal for part in pool.map(_near_the_hull, tasks) for crystal in part]
    kept = _with_share(found, anions, np.random.default_rng(given.seed))
    rows = [{"formula": x.composition.reduced_formula, "cif": x.to(fmt="cif")} for x in kept]
    pd.DataFrame(rows).to_csv(given.out, index=False)
    print(f"{len(kept)} of {len(found)} near the hull kept in {given.out}, {anions:.0%} of them with an anion")
    return 0


def _parents(data: Path) -> tuple[Codes, float, frozenset[str]]:
    """Stable training crystals, the share of the training crystals that hold an anion, and the held-out formulas."""
    crystals, settings = load_crystals(data), TrainingSettings(watched=0.0)
    encoded = encode_set(crystals, symprec_ang=settings.symprec_ang, workers=PARTS)
    refused = refused_rows(crystals, encoded, settings.max_atoms)
    train = divide(crystals, encoded, read_labels(crystals), refused, settings)
    stable = crystals.numbers("e_above_hull")[train.train.row] < PARENT_EV_ATOM
    anions = float(np.mean([holds_anion(str(encoded.formulas[row])) for row in train.train.row]))
    held = frozenset(str(encoded.formulas[row]) for row in train.held.row)
    return train.train.take(stable), anions, held


def _near_the_hull(task: tuple[int, Codes, argparse.Namespace, frozenset[str]]) -> list[Structure]:
    torch.set_num_threads(1)
    part, parents, given, held = task
    made = list(_relatives(parents, given.copies, given.seed * 100 + part, held))
    near = []
    chunks = [made[i : i + 512] for i in range(0, len(made), 512)]
    for chunk in tracked(chunks, f"energies, part {part + 1}", len(chunks)):
        above = _above_hull(chunk)
        near += [crystal for crystal, value in zip(chunk, above, strict=True) if value < NEAR_EV_ATOM]
    return near


def _relatives(parents: Codes, copies: int, seed: int, held: frozenset[str]) -> Iterator[Structure]:
    table, seen = ReferenceTable.load(), set()
    for code in substituted(parents, copies, seed, EXCHANGES):
        crystal = crystal_of(code)
        if len(code.positions) > MAX_ORBITS or not isinstance(crystal, Structure):
            continue
        formula, mark = crystal.composition.reduced_formula, fingerprint(crystal)
        if formula in held or not isinstance(mark, str) or mark in seen or not balanced(formula):
            continue
        seen.add(mark)
        if not table.is_known(mark):
            yield crystal


def _above_hull(crystals: Sequence[Structure]) -> NDArray[np.float64]:
    """Distance from the hull of known compounds by CHGNet, unrelaxed, eV/atom `[n]`; infinite where it has none."""
    calculator, table = potential(CalculatorParams(), "cpu").calculator, ReferenceTable.load()
    assert isinstance(calculator, LeanCHGNetCalculator)
    model = calculator.batched
    numbers = [np.array([site.specie.Z for site in x]) for x in crystals]
    usable = sorted((i for i, z in enumerate(numbers) if not model.cannot_take(z)), key=lambda i: len(numbers[i]))
    above = np.full(len(crystals), np.inf)
    for start in range(0, len(usable), TOGETHER):
        index = usable[start : start + TOGETHER]
        cells = [(numbers[i], crystals[i].frac_coords, crystals[i].lattice.matrix) for i in index]
        batch = CrystalBatch.of(cells, model.device)
        energies = model.energies(batch, model.bonds(batch)).numpy()
        for i, energy in zip(index, energies, strict=True):
            distance = table.hull_distance(crystals[i].composition, float(energy))
            if not isinstance(distance, Failed):
                above[i] = distance.value_ev_atom
    return above


def _with_share(crystals: Sequence[Structure], anions: float, rng: np.random.Generator) -> list[Structure]:
    """As many as can be had with that share of crystals that hold an anion; random ones of the others are left out."""
    holds = np.array([holds_anion(x.composition.reduced_formula) for x in crystals])
    n = int(min(holds.sum() / anions, (~holds).sum() / (1 - anions)))
    chosen = [
        rng.choice(np.flatnonzero(kind), round(n * share), replace=False)
        for kind, share in ((holds, anions), (~holds, 1 - anions))
    ]
    return [crystals[i] for i in np.sort(np.concatenate(chosen))]


if __name__ == "__main__":
    raise SystemExit(main())
