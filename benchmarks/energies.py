"""Formation energies of training crystals against their DFT labels, as the oracles compute them.

    python -m benchmarks.energies --data mp_train.csv.gz

The file has the columns material_id, cif and formation_energy_per_atom (eV/atom). CHGNet was trained on
MPtrj, which holds these crystals: the figures are in-sample. They show that energies and references are on
one scale, not how well CHGNet does on crystals it has never seen.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import random
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pymatgen.core import Structure

from campaigns.records import Failed
from optimizer.calculators import CalculatorParams, potential
from optimizer.elemental_references import elemental_references
from optimizer.relaxation import RelaxationLimits, relax, single_point_energy

LIMIT_AT_DFT_GEOMETRY = 0.035
LIMIT_RELAXED = 0.045


@dataclass(frozen=True)
class Labelled:
    material_id: str
    crystal: Structure
    formation_energy_ev_atom: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.energies", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-atoms", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("command: python -m benchmarks.energies", *sys.argv[1:])
    print(f"seed {given.seed}, {given.n} crystals of at most {given.max_atoms} atoms; in-sample for CHGNet")
    sample = draw(given.data, given.n, given.seed, given.max_atoms)
    return report(sample)


def draw(path: Path, n: int, seed: int, max_atoms: int) -> list[Labelled]:
    """`n` random crystals with a label and elemental references."""
    csv.field_size_limit(10_000_000)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    random.Random(seed).shuffle(rows)
    found: list[Labelled] = []
    for row in rows:
        with warnings.catch_warnings():  # pymatgen says that it rounds coordinates like 0.3333
            warnings.filterwarnings("ignore", message="Issues encountered while parsing CIF")
            crystal = Structure.from_str(row["cif"], fmt="cif")
        symbols = [element.symbol for element in crystal.composition.elements]
        if len(crystal) <= max_atoms and elemental_references().missing(symbols) is None:
            found.append(Labelled(row["material_id"], crystal, float(row["formation_energy_per_atom"])))
        if len(found) == n:
            break
    return found


def report(sample: list[Labelled]) -> int:
    """Print the figures; 0 where both limits hold, else 1."""
    chosen = potential(CalculatorParams(), "cpu")
    references = elemental_references()
    fixed, relaxed, gained, steps, volume_ratios, failures = [], [], [], [], [], []
    started = time.monotonic()
    for item in sample:
        energy = single_point_energy(item.crystal, chosen.calculator)
        outcome = relax(item.crystal, chosen.calculator, RelaxationLimits())
        if isinstance(energy, Failed) or isinstance(outcome, Failed):
            failures.append(f"{item.material_id}: {outcome if isinstance(outcome, Failed) else energy}")
            continue
        composition = item.crystal.composition
        label = item.formation_energy_ev_atom
        fixed.append(references.formation_energy(composition, energy) - label)
        relaxed.append(references.formation_energy(composition, outcome.energy_ev_atom) - label)
        gained.append(energy - outcome.energy_ev_atom)
        steps.append(outcome.steps)
        volume_ratios.append(outcome.volume_ratio)
    seconds = time.monotonic() - started
    at_dft, after = mean_absolute(fixed), mean_absolute(relaxed)
    volume_change = np.median(np.abs(np.array(volume_ratios) - 1))
    print(f"{chosen.version}: {len(fixed)} crystals, {len(failures)} failures, {seconds:.0f} s on one thread")
    print(f"MAE at the DFT geometry {at_dft:.4f} eV/atom (limit {LIMIT_AT_DFT_GEOMETRY}), ", end="")
    print(f"median error {np.median(fixed):+.4f}")
    print(f"MAE relaxed {after:.4f} eV/atom (limit {LIMIT_RELAXED}), median error {np.median(relaxed):+.4f}")
    print(f"energy gained by relaxing: median {np.median(gained):.4f}, mean {np.mean(gained):.4f} eV/atom")
    print(f"steps: median {np.median(steps):.0f}, most {max(steps)}; volume change: median {volume_change:.1%}")
    for failure in failures:
        print(failure)
    return 0 if at_dft <= LIMIT_AT_DFT_GEOMETRY and after <= LIMIT_RELAXED else 1


def mean_absolute(errors: list[float]) -> float:
    return float(np.mean(np.abs(errors)))


if __name__ == "__main__":
    raise SystemExit(main())
