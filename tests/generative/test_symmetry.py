from __future__ import annotations

import moyopy
import numpy as np
import pytest
import spglib
from pymatgen.core import Lattice
from pyxtal.symmetry import Group

from generative.symmetry import SpaceGroup, mendeleev_rank, space_group, wrapped
from generative.symmetry_build import coset_images

GENERIC = np.array([0.1234, 0.3917, 0.7351])  # on no special position of any group
ALL_GROUPS = range(1, 231)


def _operations(group: SpaceGroup) -> set[tuple[int, ...]]:
    """Operations as integers, shifts in units of 1/24 modulo one period."""
    shifts = np.rint(group.shifts * 24).astype(int) % 24
    return {(*r.ravel().astype(int), *t) for r, t in zip(group.rotations, shifts, strict=True)}


def _contains(points: np.ndarray, more: np.ndarray) -> bool:
    """Is every one of `more [n, 3]` among `points [m, 3]`, modulo lattice vectors?"""
    gaps = np.abs(wrapped(more[:, None] - points[None])).max(axis=2)
    return bool((gaps.min(axis=1) < 1e-6).all())


def _orbit(group: SpaceGroup, x: np.ndarray) -> np.ndarray:
    return (group.rotations @ x + group.shifts) % 1.0


def test_every_position_has_as_many_atoms_as_its_multiplicity_says():
    for number in ALL_GROUPS:
        group = space_group(number)
        for position, (linear, shift) in zip(group.positions, group.orbits, strict=True):
            atoms = linear @ GENERIC + shift
            every = (atoms[:, None] + group.centring[None]).reshape(-1, 3)
            gaps = np.abs(wrapped(every[:, None] - every[None])).max(axis=2)
            assert len(every) == position.multiplicity, (number, position.letter)
            assert (gaps + np.eye(len(every)) > 1e-3).all(), (number, position.letter)
            assert _contains(every, _orbit(group, position.linear @ GENERIC + position.shift))


def test_free_coordinates_can_be_read_back():
    for number in ALL_GROUPS:
        group = space_group(number)
        for index, position in enumerate(group.positions):
            u = np.where(np.isin(range(3), position.free), GENERIC, 0.0)
            found = group.identify(position.linear @ u + position.shift)
            assert found is not None
            assert found[0] == index, (number, position.letter)
            again = position.linear @ found[1] + position.shift
            assert _contains(_orbit(group, position.linear @ u + position.shift), again[None])


def test_wyckoff_letters_and_multiplicities_are_those_of_pyxtal():
    for number in ALL_GROUPS:
        expected = {p.letter: p.multiplicity for p in Group(number).Wyckoff_positions}
        assert {p.letter: p.multiplicity for p in space_group(number).positions} == expected, number


def test_operations_are_those_of_moyopy():
    for number in ALL_GROUPS:
        theirs = moyopy.operations_from_number(number, setting=moyopy.Setting.standard())
        shifts = np.rint(np.array(theirs.translations) * 24).astype(int) % 24
        expected = {(*np.array(r).ravel(), *t) for r, t in zip(theirs.rotations, shifts, strict=True)}
        assert _operations(space_group(number)) == expected, number


LATTICES = {
    "triclinic": (5.1, 6.3, 7.7, 81, 77, 69),
    "monoclinic": (5.1, 6.3, 7.7, 90, 103, 90),
    "orthorhombic": (5.1, 6.3, 7.7, 90, 90, 90),
    "tetragonal": (5.1, 5.1, 7.7, 90, 90, 90),
    "hexagonal": (5.1, 5.1, 7.7, 90, 90, 120),
    "cubic": (5.1, 5.1, 5.1, 90, 90, 90),
}


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # of spglib 2.7, on every call
def test_spglib_finds_the_group_in_a_crystal_made_from_its_operations():
    for number in ALL_GROUPS:
        group = space_group(number)
        orbits = [_orbit(group, x) for x in (GENERIC, np.array([0.0431, 0.2113, 0.5789]))]
        kinds = np.repeat([1, 2], [len(orbit) for orbit in orbits])
        cell = Lattice.from_parameters(*LATTICES[group.system]).matrix
        found = spglib.get_symmetry_dataset((cell, np.concatenate(orbits), kinds), symprec=1e-4)
        assert found.number == number


def test_normaliser_maps_the_group_onto_itself():
    for number in ALL_GROUPS:
        group = space_group(number)
        known = _operations(group)
        for linear, shift in group.cosets:
            inverse = np.linalg.inv(linear)
            rotations = np.rint(linear @ group.rotations @ inverse).astype(int)
            moved = linear @ group.shifts[..., None]
            shifts = moved[..., 0] + shift - (rotations @ shift)
            whole = np.rint(shifts * 24).astype(int) % 24
            assert {(*r.ravel(), *t) for r, t in zip(rotations, whole, strict=True)} == known, number


def test_identity_is_the_first_coset():
    for number in ALL_GROUPS:
        linear, shift = space_group(number).cosets[0]
        assert (linear == np.eye(3)).all()
        assert (shift == 0).all()


@pytest.mark.parametrize("number", [2, 14, 26, 62, 123, 141, 167, 186, 198, 221, 225, 227])
def test_coset_images_describe_the_moved_atoms(number):
    group = space_group(number)
    target, linear, shift = group.coset_images
    for i, (p_linear, p_shift) in enumerate(group.cosets):
        assert sorted(target[i]) == list(range(len(group.positions)))
        for j, position in enumerate(group.positions):
            moved = p_linear @ (position.linear @ GENERIC + position.shift) + p_shift
            image = group.positions[target[i, j]]
            u = linear[i, j] @ GENERIC + shift[i, j]
            assert _contains(_orbit(group, moved), (image.linear @ u + image.shift)[None])


@pytest.mark.parametrize("number", [1, 2, 5, 14, 47, 99, 194, 216])
def test_stored_coset_images_are_the_computed_ones(number):
    group = space_group(number)
    for stored, computed in zip(group.coset_images, coset_images(group), strict=True):
        np.testing.assert_allclose(stored, computed, atol=1e-12)


@pytest.mark.parametrize(
    ("number", "axes"),
    [(1, (0, 1, 2)), (3, (1,)), (6, (0, 2)), (33, (2,)), (99, (2,)), (186, (2,)), (2, ()), (225, ()), (198, ())],
)
def test_polar_axes(number, axes):
    assert space_group(number).polar == axes


def test_the_number_of_polar_groups_is_that_of_the_ten_polar_classes():
    assert sum(bool(space_group(n).polar) for n in ALL_GROUPS) == 68


def test_primitive_cells_are_as_small_as_the_centring_says():
    for number in ALL_GROUPS:
        group = space_group(number)
        assert abs(np.linalg.det(group.primitive)) == pytest.approx(1 / len(group.centring)), number


def test_a_point_near_a_special_position_is_on_it():
    index, u = space_group(225).identify(np.array([0.5004, 0.4997, 0.5]))
    assert space_group(225).positions[index].letter == "b"
    assert (u == 0).all()


def test_mendeleev_rank_keeps_similar_elements_together():
    rank = mendeleev_rank()
    assert rank.shape == (104,)
    assert len(set(rank.tolist())) == 104
    assert abs(rank[17] - rank[35]) < abs(rank[17] - rank[11])  # Cl is nearer to Br than to Na
