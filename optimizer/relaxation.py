"""Relaxing a crystal with an ASE calculator. ASE `Atoms` live here and in `equation_of_state`, nowhere else.

Cell and positions move together through the Frechet cell filter. The optimiser is ASE's quasi-Newton method
with an elastic initial Hessian for the cell (`CellAwareBFGS`): over 20 substituted and strained crystals of
at most 12 atoms it took 15 evaluations of CHGNet where FIRE took 44 and BFGS 21, and all of them converged
with each.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize.cellawarebfgs import CellAwareBFGS
from ase.optimize.optimize import Dynamics
from ase.units import GPa
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from campaigns.records import Failed, FailureCode
from optimizer.distances import lone_atoms, shortest_distance

COLLAPSED_DISTANCE_ANG = 0.6
"""Shorter than any bond: H-H is 0.74, and nothing in 17,284 Materials Project crystals comes below 0.747."""
COLLAPSED_VOLUME_ANG3_ATOM = 3.0
"""Denser than any solid at ambient pressure: diamond has 5.7, and no training crystal less than 5.67."""
VOLUME_RATIO = 3.0
"""A cell that grows or shrinks by more than this is no longer the crystal that was proposed."""
ISOLATED_RADIUS_ANG = 6.0
"""CHGNet sees no further; the longest nearest-neighbour distance of an element, in caesium, is 5.3."""

HESSIAN_EV_PER_ANG2 = 20.0
HESSIAN_BULK_MODULUS_GPA = 80.0
"""First guess of the curvature along positions and cell: the best of 10 to 40, and of 50 to 120."""

MAX_STEP = 0.12
"""Longest step, angstrom for an atom, strain for the cell: holding a space group asks for less than 0.15."""


@dataclass(frozen=True)
class RelaxationLimits:
    """When a relaxation is done (no force, no stress component is larger) and when it is given up."""

    fmax_ev_per_ang: float = 0.03
    max_stress_gpa: float = 0.3
    max_steps: int = 200
    max_seconds: float = 300.0
    keep_symmetry: bool = True


@dataclass(frozen=True)
class Relaxed:
    """A converged relaxation. `energy_ev_atom` is the potential's energy on its own scale."""

    crystal: Structure
    energy_ev_atom: float
    steps: int
    fmax_ev_per_ang: float
    max_stress_gpa: float
    volume_ratio: float
    seconds: float = 0.0


def relax(crystal: Structure, calculator: Calculator, limits: RelaxationLimits) -> Relaxed | Failed:
    """Relax cell and positions. Every way this can go wrong comes back as a `Failed`; nothing is raised."""
    started = time.monotonic()

    def failed(code: FailureCode, message: str) -> Failed:
        return Failed(code, message, time.monotonic() - started)

    atoms = to_atoms(crystal)
    initial_volume = crystal.volume
    if problem := unphysical(atoms.cell.array, atoms.positions, initial_volume):
        return failed(*problem)
    atoms.calc = calculator
    converged = False
    try:
        with symmetry_kept(atoms, limits.keep_symmetry):
            cell_and_positions: Any = FrechetCellFilter(atoms, exp_cell_factor=1.0)
            no_log: Any = None
            optimizer: Any = CellAwareBFGS(
                cell_and_positions,
                logfile=no_log,
                maxstep=MAX_STEP,
                alpha=HESSIAN_EV_PER_ANG2,
                bulk_modulus=HESSIAN_BULK_MODULUS_GPA * GPa,
            )
            optimizer.fmax, optimizer.smax = limits.fmax_ev_per_ang, limits.max_stress_gpa * GPa
            # CellAwareBFGS has no stepwise run of its own, and its parent's would set a different criterion
            for converged in Dynamics.irun(optimizer, steps=limits.max_steps):
                if problem := unphysical(atoms.cell.array, atoms.positions, initial_volume):
                    return failed(*problem)
                if converged:
                    break
                if time.monotonic() - started > limits.max_seconds:
                    steps = optimizer.get_number_of_steps()
                    return failed(FailureCode.TIMED_OUT, f"{limits.max_seconds:g} s passed after {steps} steps")
            energy = float(atoms.get_potential_energy()) / len(atoms)
            fmax = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
            stress = float(np.abs(atoms.get_stress()).max()) / GPa
    except Exception as error:  # a potential may fail in any way; one crystal must not end the campaign
        complaint = FailureCode.CALCULATOR_ERROR, f"{type(error).__name__}: {error}"
        return failed(*(unphysical(atoms.cell.array, atoms.positions, initial_volume) or complaint))
    if not np.isfinite([energy, fmax, stress]).all():
        return failed(FailureCode.CALCULATOR_ERROR, f"energy {energy}, force {fmax}, stress {stress}")
    if not converged:
        message = f"force {fmax:.3f} eV/angstrom and stress {stress:.2f} GPa left after {limits.max_steps} steps"
        return failed(FailureCode.UNCONVERGED, message)
    return Relaxed(
        crystal=to_structure(atoms),
        energy_ev_atom=energy,
        steps=optimizer.get_number_of_steps(),
        fmax_ev_per_ang=fmax,
        max_stress_gpa=stress,
        volume_ratio=float(atoms.get_volume()) / initial_volume,
        seconds=time.monotonic() - started,
    )


def single_point_energy(crystal: Structure, calculator: Calculator) -> float | Failed:
    """The potential's energy of the crystal as it stands, in eV/atom; CALCULATOR_ERROR where it has none."""
    atoms = to_atoms(crystal)
    atoms.calc = calculator
    try:
        energy = float(atoms.get_potential_energy()) / len(atoms)
    except Exception as error:  # a potential may fail in any way
        return Failed(FailureCode.CALCULATOR_ERROR, f"{type(error).__name__}: {error}")
    if not np.isfinite(energy):
        return Failed(FailureCode.CALCULATOR_ERROR, f"energy {energy} eV/atom")
    return energy


@contextmanager
def symmetry_kept(atoms: Atoms, keep: bool) -> Iterator[None]:
    """Project forces, stress and steps onto the starting space group (spglib, symprec 0.01), where asked.

    Without it round-off decides whether an unstable symmetry breaks: of 50 substituted crystals 5 left their
    space group, which lowered the energy by up to 0.65 eV/atom; 45 ended at the same energy within 0.3
    meV/atom.
    """
    if keep:
        atoms.set_constraint(FixSymmetry(atoms, symprec=0.01))
    try:
        with warnings.catch_warnings():
            # a long step of the cell early on is no news for the user: what counts is that forces and stress vanish
            warnings.filterwarnings("ignore", "FixSymmetry adjust_cell may be ill behaved", UserWarning)
            yield
    finally:
        atoms.set_constraint()


def to_atoms(crystal: Structure) -> Atoms:
    """A crystal as ASE atoms without a calculator."""
    return Atoms(
        numbers=crystal.atomic_numbers,
        cell=crystal.lattice.matrix,
        scaled_positions=crystal.frac_coords,
        pbc=True,
    )


def to_structure(atoms: Atoms) -> Structure:
    """ASE atoms as a crystal, without site properties."""
    species = [Element.from_Z(int(number)) for number in atoms.numbers]
    return Structure(atoms.cell.array.copy(), species, atoms.get_scaled_positions())


def unphysical(
    cell: NDArray[np.float64], positions: NDArray[np.float64], initial_volume: float
) -> tuple[FailureCode, str] | None:
    """Why a crystal with this cell `[3, 3]` and these cartesian positions `[n, 3]` cannot go on, or None.

    Lengths in angstrom, volumes in cubic angstrom.
    """
    if not (np.isfinite(cell).all() and np.isfinite(positions).all()):
        return FailureCode.EXPLODED, "cell or positions are no longer finite"
    volume = abs(float(np.linalg.det(cell)))
    if volume < COLLAPSED_VOLUME_ANG3_ATOM * len(positions) or volume < initial_volume / VOLUME_RATIO:
        return (
            FailureCode.COLLAPSED,
            f"{volume / len(positions):.2f} angstrom^3/atom, {volume / initial_volume:.2f} x start",
        )
    if volume > initial_volume * VOLUME_RATIO:
        return FailureCode.EXPLODED, f"the volume grew to {volume / initial_volume:.2f} times the start"
    if (nearest := shortest_distance(cell, positions, COLLAPSED_DISTANCE_ANG)) < COLLAPSED_DISTANCE_ANG:
        return FailureCode.COLLAPSED, f"two atoms came within {nearest:.2f} angstrom"
    if lone := lone_atoms(cell, positions, ISOLATED_RADIUS_ANG):
        return (
            FailureCode.ISOLATED_ATOM,
            f"atom {lone[0]} has no neighbour within {ISOLATED_RADIUS_ANG:g} angstrom",
        )
    return None
