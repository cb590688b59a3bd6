"""Moduli of textbook solids by the equation of state and by the elastic tensor, beside experiment.

    OMP_NUM_THREADS=1 python -m benchmarks.moduli

Each crystal is relaxed with CHGNet from its experimental cell, to 0.05 GPa unless told otherwise: the equation of state
finds its own volume, the tensor is taken at the crystal's. Both have the parameters of their oracles, but every
residual of the equation of state is accepted, so that ripples of the potential show as figures and not as failures.
Measured constants are of room temperature; polycrystal averages of them are computed here, as those of the potential
are. Ends with 1 where a bulk modulus of the tensor is more than 5 % away from that of the equation of state.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np
from ase.build import bulk
from pymatgen.analysis.elasticity import ElasticTensor
from pymatgen.core import Structure

from campaigns.records import Failed
from optimizer.calculators import CalculatorParams, potential
from optimizer.elasticity import ElasticLimits, elastic_tensor
from optimizer.equation_of_state import EquationOfStateLimits, equation_of_state
from optimizer.relaxation import RelaxationLimits, relax, to_structure

LIMIT = 0.05


@dataclass(frozen=True)
class Solid:
    """A cubic crystal with its edge in angstrom and its measured constants C11, C12, C44 in GPa."""

    formula: str
    structure: str
    edge_ang: float
    c11: float
    c12: float
    c44: float
    source: str

    @property
    def crystal(self) -> Structure:
        return to_structure(bulk(self.formula, self.structure, self.edge_ang))

    @property
    def tensor(self) -> ElasticTensor:
        stiffness = np.diag([self.c11 - self.c12] * 3 + [self.c44] * 3)
        stiffness[:3, :3] += self.c12
        return ElasticTensor.from_voigt(stiffness)


SOLIDS = (
    Solid("C", "diamond", 3.567, 1079, 124, 578, "McSkimin and Andreatch 1972"),
    Solid("Si", "diamond", 5.431, 165.7, 63.9, 79.6, "McSkimin and Andreatch 1964"),
    Solid("MgO", "rocksalt", 4.212, 297.9, 95.8, 154.4, "Sinogeikin and Bass 1999"),
    Solid("NaCl", "rocksalt", 5.640, 49.5, 12.8, 12.8, "Simmons and Wang 1971"),
    Solid("Al", "fcc", 4.050, 107, 60.8, 28.3, "Simmons and Wang 1971"),
    Solid("Cu", "fcc", 3.615, 168, 121, 75.4, "Simmons and Wang 1971"),
    Solid("W", "bcc", 3.165, 523, 204, 161, "Simmons and Wang 1971"),
    Solid("Fe", "bcc", 2.866, 230, 135, 117, "Simmons and Wang 1971"),
    Solid("TiC", "rocksalt", 4.328, 500, 113, 175, "Gilman and Roberts 1961"),
    Solid("BN", "zincblende", 3.616, 820, 190, 480, "Grimsditch, Zouboulis and Polian 1994"),
    Solid("SiC", "zincblende", 4.360, 390, 142, 256, "Lambrecht et al. 1991, from sound velocities"),
    Solid("GaAs", "zincblende", 5.653, 118.8, 53.8, 59.4, "Blakemore 1982"),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.moduli", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="FORMULA", help="some of the twelve")
    parser.add_argument("--max-stress-gpa", type=float, default=0.05)
    given = parser.parse_args()
    print("command: python -m benchmarks.moduli", *sys.argv[1:])
    print("deterministic, no seed; in GPa; one thread")
    print("| solid | K measured | K equation of state | K tensor | between | G measured | G tensor | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    apart = [
        measure(solid, given.max_stress_gpa) for solid in SOLIDS if given.only is None or solid.formula in given.only
    ]
    k_ratio, g_ratio = (float(np.median([row[i] for row in apart])) for i in (1, 2))
    worst = max(abs(row[0]) for row in apart)
    print(f"largest difference between the two: {worst:.1%} (limit {LIMIT:.0%})")
    print(f"median of computed over measured: bulk {k_ratio:.2f}, shear {g_ratio:.2f}")
    return 0 if worst <= LIMIT else 1


def measure(solid: Solid, max_stress_gpa: float) -> tuple[float, float, float]:
    """Print one row; the tensor's bulk modulus over the equation of state's less one, K and G over experiment."""
    calculator = potential(CalculatorParams(), "cpu").calculator
    started = time.monotonic()
    relaxed = relax(solid.crystal, calculator, RelaxationLimits(fmax_ev_per_ang=0.005, max_stress_gpa=max_stress_gpa))
    if isinstance(relaxed, Failed):
        raise SystemExit(f"{solid.formula}: {relaxed.message}")
    fit = equation_of_state(relaxed.crystal, calculator, EquationOfStateLimits(max_residual_ev_atom=np.inf))
    found = elastic_tensor(relaxed.crystal, calculator, ElasticLimits())
    for each in (fit, found):
        if isinstance(each, Failed):
            raise SystemExit(f"{solid.formula}: {each.message}")
    assert not isinstance(fit, Failed)
    assert not isinstance(found, Failed)
    k, g, experiment = float(found.tensor.k_vrh), float(found.tensor.g_vrh), solid.tensor
    apart = k / fit.bulk_modulus_gpa - 1
    cells = [
        solid.formula,
        f"{experiment.k_vrh:.0f}",
        f"{fit.bulk_modulus_gpa:.0f}",
        f"{k:.0f}",
        f"{apart:+.1%}",
        f"{experiment.g_vrh:.0f}",
        f"{g:.0f}",
        f"{time.monotonic() - started:.1f}",
    ]
    print(f"| {' | '.join(cells)} |", flush=True)
    return apart, k / float(experiment.k_vrh), g / float(experiment.g_vrh)


if __name__ == "__main__":
    raise SystemExit(main())
