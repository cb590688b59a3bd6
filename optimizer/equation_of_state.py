"""Bulk modulus from an equation of state: energies of a crystal at fixed cell shape and a few volumes.

Third-order Birch-Murnaghan (Birch, Phys. Rev. 71, 809 (1947)). In x = V^(-2/3) it is a cubic polynomial, so
the fit is linear least squares with one answer (Lejaeghere et al., Crit. Rev. Solid State Mater. Sci. 39, 1
(2014)).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.optimize import BFGS
from numpy.typing import NDArray
from pymatgen.analysis.eos import DeltaFactor, EOSError
from pymatgen.core import Structure

from campaigns.records import Failed, FailureCode
from optimizer.relaxation import HESSIAN_EV_PER_ANG2, to_atoms

EV_PER_ANG3_IN_GPA = 160.2176634


@dataclass(frozen=True)
class EquationOfStateLimits:
    """Volumes run evenly from 1 - `strain` to 1 + `strain` times the crystal's own, an odd number of them."""

    n_volumes: int = 7
    strain: float = 0.06
    fmax_ev_per_ang: float = 0.03
    max_ion_steps: int = 60
    max_residual_ev_atom: float = 0.001
    max_seconds: float = 120.0


@dataclass(frozen=True)
class EquationOfState:
    """Volumes in angstrom^3/atom and energies in eV/atom, `[n_volumes]` by rising volume, and their fit."""

    bulk_modulus_gpa: float
    pressure_derivative: float
    volume_ang3_atom: float
    residual_ev_atom: float  # largest absolute difference between an energy and the fit
    volumes: NDArray[np.float64]
    energies: NDArray[np.float64]
    evaluations: int


def equation_of_state(
    crystal: Structure, calculator: Calculator, limits: EquationOfStateLimits
) -> EquationOfState | Failed:
    """Scale the cell, relax the ions at every volume, fit. Whatever goes wrong comes back as a `Failed`."""
    started = time.monotonic()
    half = limits.n_volumes // 2
    steps = np.linspace(0.0, limits.strain, half + 1)
    energies: dict[float, float] = {}
    evaluations = 0
    for branch in (
        1.0 + steps,
        1.0 - steps[1:],
    ):  # outwards from the middle, each volume starting at its neighbour's ions
        atoms = to_atoms(crystal)
        atoms.calc = calculator
        for ratio in branch:
            atoms.set_cell(crystal.lattice.matrix * ratio ** (1 / 3), scale_atoms=True)
            try:
                ion_steps = relax_ions(atoms, limits.fmax_ev_per_ang, limits.max_ion_steps)
                energy = float(atoms.get_potential_energy()) / len(atoms)
            except Exception as error:  # a potential may fail in any way; one crystal must not end the campaign
                message = f"at {ratio:.2f} of the volume: {type(error).__name__}: {error}"
                return Failed(FailureCode.CALCULATOR_ERROR, message, time.monotonic() - started)
            seconds = time.monotonic() - started
            if ion_steps is None:
                message = f"ions not relaxed in {limits.max_ion_steps} steps at {ratio:.2f} of the volume"
                return Failed(FailureCode.UNCONVERGED, message, seconds)
            if not np.isfinite(energy):
                return Failed(FailureCode.CALCULATOR_ERROR, f"energy {energy} eV/atom", seconds)
            if seconds > limits.max_seconds:
                return Failed(FailureCode.TIMED_OUT, f"{limits.max_seconds:g} s passed", seconds)
            energies[float(ratio)] = energy
            evaluations += ion_steps + 1
    ratios = np.array(sorted(energies))
    fitted = fit_birch_murnaghan(
        ratios * crystal.volume / len(crystal),
        np.array([energies[ratio] for ratio in ratios]),
        limits.max_residual_ev_atom,
        evaluations,
    )
    if isinstance(fitted, Failed):
        return Failed(fitted.code, fitted.message, time.monotonic() - started)
    return fitted


def fit_birch_murnaghan(
    volumes: NDArray[np.float64],
    energies: NDArray[np.float64],
    max_residual_ev_atom: float,
    evaluations: int = 0,
) -> EquationOfState | Failed:
    """volumes `[n]` angstrom^3/atom, energies `[n]` eV/atom -> the fit, or EOS_NO_MINIMUM or EOS_BAD_FIT."""
    fit = DeltaFactor(volumes.tolist(), energies.tolist())
    try:
        fit.fit()
        has_minimum = not np.iscomplex(fit.v0)  # the roots of the fitted slope may all be complex
    except EOSError:
        has_minimum = False
    if not has_minimum:
        return Failed(FailureCode.EOS_NO_MINIMUM, "the energy has no minimum over volume")
    modulus = float(np.real(fit.b0)) * EV_PER_ANG3_IN_GPA
    residual = float(np.abs(np.real(fit.func(volumes)) - energies).max())
    minimum = float(np.real(fit.v0))
    if not volumes.min() < minimum < volumes.max():
        message = f"minimum at {minimum:.2f} angstrom^3/atom, outside {volumes.min():.2f} to {volumes.max():.2f}"
        return Failed(FailureCode.EOS_NO_MINIMUM, message)
    if residual > max_residual_ev_atom or modulus <= 0:
        message = f"largest residual {residual * 1000:.2f} meV/atom, bulk modulus {modulus:.1f} GPa"
        return Failed(FailureCode.EOS_BAD_FIT, message)
    return EquationOfState(modulus, float(np.real(fit.b1)), minimum, residual, volumes, energies, evaluations)


def relax_ions(atoms: Atoms, fmax_ev_per_ang: float, max_steps: int) -> int | None:
    """Steps until the largest force is small enough, 0 where symmetry leaves none; None where it never is."""
    optimizer = BFGS(atoms, logfile=None, maxstep=0.2, alpha=HESSIAN_EV_PER_ANG2)
    if not optimizer.run(fmax=fmax_ev_per_ang, steps=max_steps):
        return None
    return int(optimizer.get_number_of_steps())
