"""One matrix does what ASE's FixSymmetry does."""

from __future__ import annotations

import numpy as np
import pytest
import spglib
from ase.constraints import FixSymmetry
from ase.stress import full_3x3_to_voigt_6_stress
from pymatgen.core import Lattice, Structure

from optimizer.relaxation import to_atoms
from optimizer.symmetry_projection import symmetry_projection

CRYSTALS = {
    "perovskite": Structure(
        Lattice.cubic(3.9),
        ["Sr", "Ti", "O", "O", "O"],
        [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    ),
    "hexagonal": Structure(Lattice.hexagonal(3.2, 5.2), ["Mg"] * 2, [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]),
    "rhombohedral": Structure(
        Lattice.rhombohedral(10.3, 24.5),
        ["Bi"] * 2 + ["Te"] * 3,
        [[0.4] * 3, [0.6] * 3, [0] * 3, [0.21] * 3, [0.79] * 3],
    ),
    "triclinic": Structure(Lattice.from_parameters(3, 4, 5, 80, 85, 100), ["Li", "O"], [[0, 0, 0], [0.3, 0.4, 0.6]]),
}


@pytest.mark.parametrize("name", CRYSTALS)
def test_it_projects_as_the_constraint_of_ase_does(name):
    atoms = to_atoms(CRYSTALS[name])
    reference = atoms.copy()
    constraint = FixSymmetry(reference, symprec=0.01)
    projection = symmetry_projection(atoms)
    np.testing.assert_allclose(atoms.positions, reference.positions, atol=1e-10)
    np.testing.assert_allclose(atoms.cell.array, reference.cell.array, atol=1e-10)
    np.testing.assert_allclose(projection @ projection, projection, atol=1e-10)
    np.testing.assert_allclose(projection, projection.T, atol=1e-10)

    random = np.random.default_rng(0)
    forces, stress = random.normal(size=(len(atoms), 3)), random.normal(size=(3, 3))
    stress = (stress + stress.T) / 2
    projected = projection @ np.concatenate([forces.ravel(), stress.ravel()])
    voigt = full_3x3_to_voigt_6_stress(stress)
    constraint.adjust_forces(reference, forces)
    constraint.adjust_stress(reference, voigt)
    np.testing.assert_allclose(projected[:-9].reshape(-1, 3), forces, atol=1e-8)
    np.testing.assert_allclose(full_3x3_to_voigt_6_stress(projected[-9:].reshape(3, 3)), voigt, atol=1e-8)


def test_what_is_nearly_symmetric_becomes_so_and_stays_where_it_is():
    ideal = CRYSTALS["perovskite"]
    random = np.random.default_rng(1)
    atoms = to_atoms(ideal)
    atoms.set_cell(atoms.cell.array * (1 + 5e-4 * random.normal(size=(3, 3))), scale_atoms=True)
    atoms.positions += 2e-3 * random.normal(size=(len(ideal), 3))
    reference, before = atoms.copy(), atoms.copy()
    FixSymmetry(reference, symprec=0.01)
    projection = symmetry_projection(atoms)
    assert np.linalg.matrix_rank(projection) == 1  # nothing but the volume is free
    assert spglib.get_spacegroup((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), 1e-6) == "Pm-3m (221)"
    np.testing.assert_allclose(atoms.cell.lengths(), reference.cell.lengths(), atol=2e-3)
    np.testing.assert_allclose(atoms.positions, before.positions, atol=1e-2)
