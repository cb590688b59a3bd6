"""The symmetry-keeping part of a relaxation, as one matrix: what ASE's FixSymmetry does to forces, stress and steps.

In the undeformed cell the operations of the space group are rotations that do not change along a relaxation, so
averaging over the group is a constant orthogonal projection of positions, and of the logarithm of the deformation.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.spacegroup.symmetrize import check_symmetry
from numpy.typing import NDArray
from scipy.linalg import sqrtm

SYMPREC_ANG = 0.01


def symmetry_projection(atoms: Atoms) -> NDArray[np.float64]:
    """Projection `[3n + 9, 3n + 9]` of positions `[n, 3]` and deformation `[3, 3]`, each flattened by rows.

    First moves `atoms` to where the space group that spglib finds at 0.01 angstrom holds exactly: the averages over the
    group of the metric and of each atom's images. FixSymmetry asks spglib five times for that, which takes longer than
    all the rest. Raises ValueError where no group is found.
    """
    scaled, count = atoms.get_scaled_positions(wrap=False), len(atoms)
    found = check_symmetry(atoms, SYMPREC_ANG)  # spglib's dataset
    if found is None:
        raise ValueError(f"no space group at symprec {SYMPREC_ANG}")
    fractional = np.asarray(found.rotations, dtype=float)
    moved = np.einsum("gij,nj->gni", fractional, scaled) + found.translations[:, None]
    apart = moved[:, :, None] - scaled
    apart -= np.round(apart)
    images = np.argmin(np.linalg.norm(apart, axis=-1), axis=-1)  # [operations, n], where each atom goes
    shifts = np.zeros_like(scaled)
    np.add.at(shifts, images, np.take_along_axis(apart, images[..., None, None], axis=2)[:, :, 0] / len(fractional))
    cell = _symmetric_cell(atoms.cell.array, fractional)
    atoms.set_cell(cell)
    atoms.set_positions((scaled + shifts) @ cell)

    rotations = np.einsum("ji,gjk,kl->gil", cell, fractional, np.linalg.inv(cell).T)  # of cartesian columns
    positions = np.zeros((count, count, 3, 3))  # [image, atom]
    np.add.at(positions, (images, np.arange(count)[None]), rotations[:, None] / len(rotations))
    projection = np.zeros((3 * count + 9, 3 * count + 9))
    projection[:-9, :-9] = positions.transpose(0, 2, 1, 3).reshape(3 * count, 3 * count)
    projection[-9:, -9:] = np.einsum("gij,gkl->ikjl", rotations, rotations).reshape(9, 9) / len(rotations)
    return projection


def _symmetric_cell(cell: NDArray[np.float64], rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cell whose metric the rotations leave alone, without a turn against `cell`; rows are lattice vectors."""
    metric = np.einsum("gji,jk,gkl->il", rotations, cell @ cell.T, rotations) / len(rotations)
    inverse = np.linalg.inv(cell)
    stretch = sqrtm(inverse @ metric @ inverse.T)
    return cell @ np.real(stretch)
