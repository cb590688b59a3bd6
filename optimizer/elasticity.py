"""The elastic tensor of a crystal by finite strains: stress and energy against strain, the ions relaxed in each.

Least squares as in M. de Jong et al., Sci. Data 2, 150009 (2015), with three differences, because the stress of a
neural potential ripples around its trend (within 1 % of strain the slope of CHGNet's is off by up to a half, in either
direction):
- strains are large, and isotropic ones over the range of an equation of state are among them;
- they are Eulerian, E = (1 - C^-1) / 2 with C = F^T F, and the stress is the conjugate one, C S C with S the second
  Piola-Kirchhoff stress: in this strain, Birch's, the law stays linear over such a range;
- energies are fitted beside stresses, with the same weight along each strain.
Every strain counts once for each operation of the point group, so that few are computed and the tensor has the
crystal's symmetry. Ions held in place would give another tensor: silicon's C44 a quarter larger with CHGNet.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.units import GPa
from numpy.typing import NDArray
from pymatgen.analysis.elasticity import ElasticTensor, Strain, Stress
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from scipy.linalg import sqrtm

from campaigns.records import Failed, FailureCode
from optimizer.equation_of_state import relax_ions
from optimizer.relaxation import to_atoms

SYMPREC_ANG = 0.01


@dataclass(frozen=True)
class ElasticLimits:
    """Each of six strains (shear doubled) takes the values -1, -2/3, -1/3, 1/3, 2/3 and 1 times `strain`; isotropic
    strains two thirds of them."""

    strain: float = 0.03
    fmax_ev_per_ang: float = 0.005
    max_ion_steps: int = 100
    max_residual_stress_gpa: float = 5.0
    max_seconds: float = 300.0


@dataclass(frozen=True)
class Elasticity:
    """The tensor in GPa, on the axes of the IEEE standard of 1987, and how it came about.

    `misfit` is the root mean square difference between stresses and the linear law, over that of the stresses;
    `evaluations` counts energies, forces and stresses asked of the potential.
    """

    tensor: ElasticTensor
    residual_stress_gpa: float  # largest component of the unstrained cell's stress
    misfit: float
    evaluations: int

    @property
    def softest_gpa(self) -> float:
        """Smallest eigenvalue of the Voigt matrix. The crystal resists every small strain where it is positive: Born's
        criteria for any symmetry (F. Mouhat and F.-X. Coudert, Phys. Rev. B 90, 224104 (2014), section II)."""
        return float(np.linalg.eigvalsh(self.tensor.voigt)[0])


class _GaveUpError(Exception):
    def __init__(self, code: FailureCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def elastic_tensor(crystal: Structure, calculator: Calculator, limits: ElasticLimits) -> Elasticity | Failed:
    """Strain, relax the ions, fit. Whatever goes wrong comes back as a `Failed`; nothing is raised."""
    started = time.monotonic()
    try:
        return _elastic_tensor(crystal, calculator, limits, started)
    except _GaveUpError as reason:
        return Failed(reason.code, str(reason), time.monotonic() - started)
    except Exception as error:  # a potential may fail in any way; one crystal must not end the campaign
        message = f"{type(error).__name__}: {error}"
        return Failed(FailureCode.CALCULATOR_ERROR, message, time.monotonic() - started)


def _elastic_tensor(crystal: Structure, calculator: Calculator, limits: ElasticLimits, started: float) -> Elasticity:
    if not (len(crystal) and crystal.is_ordered and np.isfinite(crystal.cart_coords).all()):
        raise ValueError("there is no atom, a site of several elements or a coordinate that is no number")
    upright = on_ieee_axes(crystal)  # spglib ends the process where a coordinate is no number
    atoms = to_atoms(upright)
    atoms.calc = calculator
    at_rest = _settled(atoms, limits)
    residual = float(np.abs(at_rest.stress_gpa).max())
    if residual > limits.max_residual_stress_gpa:
        message = f"the crystal stands under {residual:.1f} GPa, more than {limits.max_residual_stress_gpa:g}; relax it"
        raise _GaveUpError(FailureCode.UNCONVERGED, message)
    operations, evaluations = point_group(upright), at_rest.evaluations
    strains, stresses, works = [], [], []
    for strain in distinct_strains(operations, limits.strain):
        metric = np.linalg.inv(np.eye(3) - 2 * strain)  # C
        stretch = np.real(sqrtm(metric))
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ stretch.T, scale_atoms=True)
        strained.calc = calculator
        settled = _settled(strained, limits)
        evaluations += settled.evaluations
        if time.monotonic() - started > limits.max_seconds:
            raise _GaveUpError(FailureCode.TIMED_OUT, f"{limits.max_seconds:g} s passed")
        stress = metric @ Stress(settled.stress_gpa).piola_kirchoff_2(stretch) @ metric - at_rest.stress_gpa
        gained = (settled.energy_ev - at_rest.energy_ev) / atoms.get_volume() / GPa
        work = gained - float((at_rest.stress_gpa * strain).sum())  # GPa
        strains += [Strain(turn @ strain @ turn.T).voigt for turn in operations]  # shear doubled
        stresses += [Stress(turn @ stress @ turn.T).voigt for turn in operations]
        works += [work] * len(operations)
    stiffness, misfit = fitted_stiffness(np.array(strains), np.array(stresses), np.array(works))
    if not (np.isfinite(stiffness).all() and np.isfinite(misfit)):
        raise _GaveUpError(FailureCode.CALCULATOR_ERROR, "an energy or a stress is not finite")
    return Elasticity(ElasticTensor.from_voigt(stiffness), residual, misfit, evaluations)


def fitted_stiffness(
    strains: NDArray[np.float64], stresses: NDArray[np.float64], works: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """The symmetric Voigt matrix `[6, 6]` in GPa that fits best, and the relative misfit of the stresses.

    strains `[m, 6]` with shear doubled, stresses `[m, 6]` in GPa, works `[m]` in GPa: energy per volume of the crystal
    at rest, without what is linear in the strain. With s = C e and w = e C e / 2 the rows of 2 w / |e| weigh as much
    as the component of s along e.
    """
    pairs = [(i, j) for i in range(6) for j in range(i, 6)]  # the 21 constants
    lengths = np.linalg.norm(strains, axis=1)
    rows = np.zeros((len(strains), 7, len(pairs)))
    for column, (i, j) in enumerate(pairs):
        rows[:, i, column] += strains[:, j]
        rows[:, j, column] += strains[:, i] if i != j else 0.0
        rows[:, 6, column] = strains[:, i] * strains[:, j] * (1 if i == j else 2) / lengths
    values = np.concatenate([stresses, (2 * works / lengths)[:, None]], axis=1)
    constants = np.linalg.lstsq(rows.reshape(-1, len(pairs)), values.reshape(-1), rcond=None)[0]
    stiffness = np.zeros((6, 6))
    for constant, (i, j) in zip(constants, pairs, strict=True):
        stiffness[i, j] = stiffness[j, i] = constant
    return stiffness, float(np.sqrt(np.mean((stresses - strains @ stiffness) ** 2) / np.mean(stresses**2)))


def on_ieee_axes(crystal: Structure) -> Structure:
    """The same crystal, turned so that its conventional axes lie as the IEEE standard of 1987 asks; as it is where the
    standard leaves that open, because two axes of a crystal without need for it are equally long."""
    try:
        with _spglib_silent():
            rotation = np.asarray(ElasticTensor.get_ieee_rotation(crystal))
    except ValueError:  # pymatgen sorts axes by length, and ties by the vectors, which cannot be compared
        return crystal
    return Structure(Lattice(crystal.lattice.matrix @ rotation.T), crystal.species, crystal.frac_coords)


@contextmanager
def _spglib_silent() -> Iterator[None]:
    """spglib 2.8 announces a change of its error handling; pymatgen's affair."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)
        yield


def point_group(crystal: Structure) -> list[NDArray[np.float64]]:
    """The crystal's rotations `[3, 3]`, as they turn vectors in its frame, each once and exactly orthogonal."""
    with _spglib_silent():
        operations = SpacegroupAnalyzer(crystal, symprec=SYMPREC_ANG).get_symmetry_operations(cartesian=True)
    found: list[NDArray[np.float64]] = []
    for operation in operations:
        u, _, vt = np.linalg.svd(operation.rotation_matrix)  # a lattice is symmetric within symprec only
        if not any(np.allclose(u @ vt, other, atol=1e-2) for other in found):
            found.append(u @ vt)
    return found


def distinct_strains(operations: list[NDArray[np.float64]], strain: float) -> list[NDArray[np.float64]]:
    """The strains `[3, 3]` of `ElasticLimits`, those aside that an operation turns into one that is there already."""
    directions = [
        *(strain * np.asarray(Strain.from_index_amount(i, 1.0)) for i in range(6)),
        2 / 3 * strain * np.eye(3),
    ]
    found: list[NDArray[np.float64]] = []
    images: list[NDArray[np.float64]] = []
    for direction in directions:
        for part in (-1, -2 / 3, -1 / 3, 1 / 3, 2 / 3, 1):
            candidate = part * direction
            if any(np.allclose(candidate, image, atol=1e-3 * strain) for image in images):
                continue
            found.append(candidate)
            images += [turn @ candidate @ turn.T for turn in operations]
    return found


@dataclass(frozen=True)
class _Settled:
    """A cell with its ions relaxed: Cauchy stress `[3, 3]` in GPa, tension positive, and what it took."""

    energy_ev: float
    stress_gpa: NDArray[np.float64]
    evaluations: int


def _settled(atoms: Atoms, limits: ElasticLimits) -> _Settled:
    steps = relax_ions(atoms, limits.fmax_ev_per_ang, limits.max_ion_steps)
    if steps is None:
        message = f"ions not relaxed to {limits.fmax_ev_per_ang:g} eV/angstrom in {limits.max_ion_steps} steps"
        raise _GaveUpError(FailureCode.UNCONVERGED, message)
    stress = atoms.get_stress(voigt=False) / GPa
    return _Settled(float(atoms.get_potential_energy()), stress, steps + 2)
