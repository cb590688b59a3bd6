"""Perturb and relax: does a crystal whose atoms are pushed aside come back to where it was, or fall lower?

A supercell holds the vibrations whose wavelength fits it. One that lowers the energy (an imaginary phonon) grows out
of a random push while the ions relax at fixed cell, and the atoms end elsewhere, at a lower energy. It is a sampled
test: what does not fit the supercell, and what only the cell's own shape would relieve (see `optimizer.elasticity`),
it cannot find.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray
from pymatgen.core import Structure

from campaigns.records import Failed, FailureCode
from optimizer.equation_of_state import relax_ions
from optimizer.relaxation import to_atoms


@dataclass(frozen=True)
class PerturbationLimits:
    """Supercells have the lattice vectors repeated until each is `min_length_ang` long or `max_atoms` are reached."""

    amplitude_ang: float = 0.1
    trials: int = 2
    min_length_ang: float = 5.0
    max_atoms: int = 40
    fmax_ev_per_ang: float = 0.02
    max_ion_steps: int = 150
    max_seconds: float = 300.0


@dataclass(frozen=True)
class Perturbed:
    """The trial that fell furthest. `energy_drop_ev_atom` is positive where it ends below the crystal as given."""

    energy_drop_ev_atom: float
    displacement_ang: float  # farthest an atom ends from its place, the drift of all aside
    n_atoms: int
    repeats: tuple[int, int, int]
    steps: int  # of all trials
    settled: bool  # every trial: where one has not, the fall is the least it may be


def perturb_and_relax(
    crystal: Structure, calculator: Calculator, limits: PerturbationLimits, *, seed: int
) -> Perturbed | Failed:
    """Push every atom by a normal deviate of `amplitude_ang` per axis, relax, compare. Nothing is raised."""
    started = time.monotonic()

    def failed(code: FailureCode, message: str) -> Failed:
        return Failed(code, message, time.monotonic() - started)

    try:
        repeats = supercell_repeats(crystal, limits)
        still = to_atoms(crystal).repeat(repeats)
        still.calc = calculator
        settled = relax_ions(still, limits.fmax_ev_per_ang, limits.max_ion_steps)
        if settled is None:
            return failed(
                FailureCode.UNCONVERGED, f"the crystal as given has not settled in {limits.max_ion_steps} steps"
            )
        at_rest = float(still.get_potential_energy()) / len(still)
        worst, total, settled_all = Perturbed(-np.inf, 0.0, len(still), repeats, 0, True), settled, True
        for generator in np.random.default_rng(seed).spawn(limits.trials):
            pushed = still.copy()
            pushed.positions += limits.amplitude_ang * generator.standard_normal(pushed.positions.shape)
            pushed.calc = calculator
            steps = relax_ions(pushed, limits.fmax_ev_per_ang, limits.max_ion_steps)
            drop = at_rest - float(pushed.get_potential_energy()) / len(still)
            if not np.isfinite(drop):
                return failed(FailureCode.CALCULATOR_ERROR, "an energy is not finite")
            settled_all &= steps is not None
            if time.monotonic() - started > limits.max_seconds:
                return failed(FailureCode.TIMED_OUT, f"{limits.max_seconds:g} s passed")
            total += limits.max_ion_steps if steps is None else steps
            if drop > worst.energy_drop_ev_atom:
                worst = Perturbed(drop, farthest_from_home(still, pushed), len(still), repeats, 0, True)
    except Exception as error:  # a potential may fail in any way; one crystal must not end the campaign
        return failed(FailureCode.CALCULATOR_ERROR, f"{type(error).__name__}: {error}")
    return replace(worst, steps=total, settled=settled_all)


def supercell_repeats(crystal: Structure, limits: PerturbationLimits) -> tuple[int, int, int]:
    """Repeat the shortest vector, again and again, while it is shorter than wanted and the atoms stay few enough."""
    lengths, repeats = np.array(crystal.lattice.abc), np.ones(3, dtype=int)
    while True:
        shortest = int(np.argmin(lengths * repeats))
        grown = repeats + (np.arange(3) == shortest)
        if (
            lengths[shortest] * repeats[shortest] >= limits.min_length_ang
            or len(crystal) * grown.prod() > limits.max_atoms
        ):
            return int(repeats[0]), int(repeats[1]), int(repeats[2])
        repeats = grown


def farthest_from_home(home: Atoms, moved: Atoms) -> float:
    """Largest distance in angstrom between the atoms `[n, 3]` of two cells, the mean displacement taken away."""
    shift: NDArray[np.float64] = moved.positions - home.positions  # no wrapping: atoms only slide
    return float(np.linalg.norm(shift - shift.mean(axis=0), axis=1).max())
