"""The symmetry-keeping part of a relaxation, as one matrix: what ASE's FixSymmetry does to forces, stress and steps.

In the undeformed cell the operations of the space group are rotations that do not change along a relaxation, so
averaging over the group is a constant orthogonal projection of positions, and of the logarithm of the deformation.
"""

from __future__ import annotations

import numpy as np
import spglib
from ase import Atoms
from ase.spacegroup.symmetrize import refine_symmetry
from numpy.typing import NDArray

SYMPREC_ANG = 0.01


def symmetry_projection(atoms: Atoms) -> NDArray[np.float64]:
    """Projection `[3n + 9, 3n + 9]` of positions `[n, 3]` and deformation `[3, 3]`, each flattened by rows.

    First moves `atoms` to where their space group (spglib at 0.01 angstrom) holds exactly, as FixSymmetry does. Raises
    ValueError where spglib finds no group.
    """
    refine_symmetry(atoms, SYMPREC_ANG)
    found = spglib.get_symmetry_dataset((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), SYMPREC_ANG)
    if found is None:
        raise ValueError(f"no space group at symprec {SYMPREC_ANG}")
    cell, count = atoms.cell.array, len(atoms)
    operations = len(found.rotations)
    rotations = np.einsum("ji,gjk,kl->gil", cell, found.rotations, np.linalg.inv(cell).T)  # of cartesian columns
    positions = np.zeros((count, count, 3, 3))  # [image, atom]
    np.add.at(positions, (_images(atoms, found), np.arange(count)[None]), rotations[:, None] / operations)
    projection = np.zeros((3 * count + 9, 3 * count + 9))
    projection[:-9, :-9] = positions.transpose(0, 2, 1, 3).reshape(3 * count, 3 * count)
    projection[-9:, -9:] = np.einsum("gij,gkl->ikjl", rotations, rotations).reshape(9, 9) / operations
    return projection


def _images(atoms: Atoms, found: spglib.SpglibDataset) -> NDArray[np.int64]:
    """Where each operation takes each atom, `[operations, n]`."""
    scaled = atoms.get_scaled_positions()
    moved = np.einsum("gij,nj->gni", found.rotations, scaled) + found.translations[:, None]
    distance = moved[:, :, None] - scaled
    distance -= np.round(distance)
    return np.argmin(np.linalg.norm(distance, axis=-1), axis=-1)
