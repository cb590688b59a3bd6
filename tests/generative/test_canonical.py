from __future__ import annotations

import numpy as np
import pytest
from prototypes import PROTOTYPES, perovskite
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from generative.canonical import WyckoffCode, canonical_code, lattice_parameters, same_code, smallest
from generative.representations.wyckoff import WyckoffRepresentation, fingerprint_of, lattice_matrix

each_prototype = pytest.mark.parametrize("name", PROTOTYPES)


def _code(x: Structure) -> WyckoffCode:
    code = WyckoffRepresentation().featurize([x])[0]
    assert isinstance(code, WyckoffCode), code
    return code


def _rotated(x: Structure, rng: np.random.Generator) -> Structure:
    """The crystal in another basis of its lattice, turned in space."""
    basis = np.zeros((3, 3))
    while abs(round(np.linalg.det(basis))) != 1:
        basis = rng.integers(-1, 2, (3, 3))
    turn = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix().T
    cell = Lattice(basis @ x.lattice.matrix @ turn)
    return Structure(cell, x.species, x.cart_coords @ turn, coords_are_cartesian=True)


@each_prototype
def test_code_ignores_the_order_of_sites(name):
    x, rng = PROTOTYPES[name], np.random.default_rng(1)
    for _ in range(3):
        other = Structure.from_sites([x[i] for i in rng.permutation(len(x))])
        assert same_code(_code(x), _code(other))


@each_prototype
def test_code_ignores_the_origin(name):
    x, rng = PROTOTYPES[name], np.random.default_rng(2)
    for _ in range(5):
        other = x.copy().translate_sites(list(range(len(x))), rng.random(3))
        assert same_code(_code(x), _code(other))


@each_prototype
def test_code_ignores_the_cell(name):
    x, rng = PROTOTYPES[name], np.random.default_rng(3)
    for _ in range(5):
        assert same_code(_code(x), _code(_rotated(x, rng)))


@each_prototype
@pytest.mark.parametrize("scaling", [[2, 1, 1], [[1, 0, 1], [0, 2, 0], [0, 0, 1]]])
def test_code_ignores_supercells(name, scaling):
    x = PROTOTYPES[name]
    assert same_code(_code(x), _code(x.make_supercell(scaling, in_place=False)))


@each_prototype
def test_code_survives_noise_far_below_the_tolerance(name):
    x, rng = PROTOTYPES[name], np.random.default_rng(4)
    moved = Structure(x.lattice, x.species, x.cart_coords + rng.normal(0, 1e-4, (len(x), 3)), coords_are_cartesian=True)
    assert same_code(_code(x), _code(moved))


@each_prototype
def test_canonical_code_of_a_code_is_itself(name):
    code = _code(PROTOTYPES[name])
    cell = lattice_matrix(code.lattice)
    again = canonical_code(code.space_group, code.positions, code.elements, code.coords, cell)
    assert same_code(code, again)


@pytest.mark.parametrize(
    ("a", "b"), [("Sr", "Ti"), ("Ti", "Sr"), ("K", "Nb"), ("La", "Al"), ("Al", "La"), ("Cs", "Pb")]
)
def test_perovskite_cations_keep_their_places_whatever_the_elements(a, b):
    assert fingerprint_of(_code(perovskite(a, b))).split(":")[2] == f"1a-{a},1b-{b},3c-O"


def test_exchanging_the_cations_of_a_perovskite_is_another_crystal():
    assert fingerprint_of(_code(perovskite("Sr", "Ti"))) != fingerprint_of(_code(perovskite("Ti", "Sr")))


def test_mirror_images_share_a_code_within_one_group():
    x = PROTOTYPES["chiral FeSi"]
    mirrored = Structure(x.lattice, x.species, -x.frac_coords)
    assert same_code(_code(x), _code(mirrored))


def test_enantiomorphic_groups_stay_apart():
    x = PROTOTYPES["quartz, chiral"]
    mirrored = Structure(Lattice(x.lattice.matrix * [1, 1, -1]), x.species, x.frac_coords)
    assert {_code(x).space_group, _code(mirrored).space_group} == {152, 154}


def test_same_code_tells_what_differs():
    code = _code(PROTOTYPES["rutile"])
    kept = dict(vars(code))
    assert same_code(code, WyckoffCode(**kept))
    assert same_code(code, WyckoffCode(**{**kept, "coords": code.coords + (code.coords > 0) * 1.005}))  # periodic
    for change in (
        {"space_group": 135},
        {"elements": code.elements[::-1]},
        {"positions": code.positions + 1},
        {"lattice": code.lattice * [1, 1, 1.05, 1, 1, 1]},
        {"coords": code.coords + (code.coords > 0) * 0.1},
        {"positions": code.positions[:1], "elements": code.elements[:1], "coords": code.coords[:1]},
    ):
        assert not same_code(code, WyckoffCode(**{**kept, **change})), change


def test_smallest_keeps_near_ties():
    rows = np.array([[0.100, 0.9], [0.102, 0.3], [0.2, 0.0]])
    assert smallest(rows).tolist() == [1]
    assert smallest(rows[:, :1]).tolist() == [0, 1]


def test_lattice_parameters_invert_lattice_matrix():
    parameters = np.array([4.1, 5.2, 6.3, 82.0, 75.0, 68.0])
    np.testing.assert_allclose(lattice_parameters(lattice_matrix(parameters)), parameters)
