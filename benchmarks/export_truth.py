"""Is an exported list true? Every CIF is read again and its energy computed again.

    python -m benchmarks.export_truth runs/quickstart/export

pymatgen and ASE must read every file, pymatgen must find the table's space group at symprec 0.1, and CHGNet must give
the listed energy within 1 meV/atom.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import cast

import pandas as pd
from ase.io import read
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from campaigns.records import Failed
from optimizer.calculators import CalculatorParams, potential
from optimizer.relaxation import single_point_energy


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    table = pd.read_csv(folder / "ranking.csv")
    calculator = potential(CalculatorParams(), "cpu").calculator
    groups = energies = 0
    worst = 0.0
    for row in table.itertuples():
        path = folder / row.file
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # readers' remarks on coordinates rounded to 1/3; the figures are the test
            crystal = Structure.from_file(path)
            assert len(read(path)) == len(crystal)
            groups += SpacegroupAnalyzer(crystal, symprec=0.1).get_space_group_number() == row.space_group_number
        energy = single_point_energy(crystal, calculator)
        gap = float("inf") if isinstance(energy, Failed) else abs(energy - cast(float, row.energy_ev_atom))
        worst = max(worst, gap)
        energies += gap <= 1e-3
    print("command: python -m benchmarks.export_truth", *sys.argv[1:])
    print(f"{len(table)} files read by pymatgen and ASE; space group as listed: {groups}; energy within 1 meV/atom: "
          f"{energies} (largest difference {1000 * worst:.3f} meV/atom)")  # fmt: skip
    return 0 if groups == energies == len(table) else 1


if __name__ == "__main__":
    sys.exit(main())
