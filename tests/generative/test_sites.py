from __future__ import annotations

import numpy as np
import pytest
from prototypes import PROTOTYPES
from pymatgen.core import Lattice

from generative.representations.wyckoff import WyckoffRepresentation, crystal_of, crystals_of
from generative.sites import cell_matrices, closest_allowed, crowding, place, primitive_cells, shortest


def test_many_crystals_at_once_are_those_made_one_by_one():
    codes = WyckoffRepresentation().featurize(list(PROTOTYPES.values()))
    for code, together in zip(codes, crystals_of(codes), strict=True):
        alone = crystal_of(code)
        assert together == alone
        assert len(together) == code.n_atoms


def test_cells_are_oriented_like_pymatgens():
    lattices = np.array([[3, 4, 5, 90, 90, 90], [4.1, 5.2, 6.3, 82, 75, 68], [3, 3, 5, 90, 90, 120]], dtype=float)
    for parameters, cell in zip(lattices, cell_matrices(lattices), strict=True):
        np.testing.assert_allclose(cell, Lattice.from_parameters(*parameters).matrix, atol=1e-9)


def test_angles_that_close_no_cell_give_nan():
    assert np.isnan(cell_matrices(np.array([[3.0, 3.0, 3.0, 30.0, 150.0, 30.0]]))).any()


@pytest.mark.parametrize("shape", [(3, 3, 3, 90, 90, 90), (2.5, 2.6, 9, 90, 90, 60), (3, 4, 3.5, 75, 80, 70)])
def test_distances_are_pymatgens_within_reach(shape):
    lattice, rng = Lattice.from_parameters(*shape), np.random.default_rng(0)
    points, reach = rng.random((40, 3)), 1.4
    expected = lattice.get_all_distances(points[:20], points[20:]).diagonal()
    found = shortest(
        points[:20] - points[20:],
        lattice.matrix[None],
        np.zeros(20, dtype=int),
        np.zeros(20, dtype=bool),
        np.full(20, reach),
    )
    near = expected < reach
    np.testing.assert_allclose(found[near], expected[near], atol=1e-9)
    assert (found[~near] >= reach).all()


def test_an_atom_sees_its_own_images():
    cell = np.diag([1.2, 5.0, 5.0])[None]
    found = shortest(np.zeros((1, 3)), cell, np.array([0]), np.array([True]), np.array([2.0]))
    assert found[0] == pytest.approx(1.2)


def test_real_crystals_are_not_crowded():
    invented = "KTiOPO4 group, polar"  # a test of symmetry, with Fe and S at 1.15 angstrom
    codes = WyckoffRepresentation().featurize([x for name, x in PROTOTYPES.items() if name != invented])
    for code in codes:
        numbers = np.array([code.space_group])
        atoms = place(numbers, np.zeros(len(code.positions), dtype=int), code.positions, code.coords)
        ratio, _, _ = crowding(atoms, code.elements, primitive_cells(numbers, code.lattice[None]))
        assert ratio.min() > 1


def test_allowed_distances_are_symmetric_and_never_tiny():
    table = closest_allowed()
    assert (table == table.T).all()
    assert table[1:, 1:].min() >= 0.6
    assert table[55, 55] > table[8, 8]
