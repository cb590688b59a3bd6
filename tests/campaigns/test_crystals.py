"""Crystals as one line of JSON."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from campaigns.crystals import crystal_from_json, crystal_to_json, crystal_to_read, momentary, reduced_formula


def test_every_float_and_the_order_of_sites_survive():
    rng = np.random.default_rng(0)
    crystal = Structure(Lattice(rng.normal(size=(3, 3)) * 5), ["O", "Fe2+", "O", "Li"], rng.random((4, 3)))
    again = crystal_from_json(crystal_to_json(crystal))
    assert (again.lattice.matrix == crystal.lattice.matrix).all()
    assert (again.frac_coords == crystal.frac_coords).all()
    assert again.species == crystal.species
    assert crystal_to_json(again) == crystal_to_json(crystal)


def test_site_properties_are_dropped_and_the_text_is_short():
    crystal = Structure(Lattice.cubic(4), ["Cs"], [[0.25, 1.5, -0.5]], site_properties={"magmom": [1.0]})
    text = crystal_to_json(crystal)
    assert len(text) < 120
    assert crystal_from_json(text).site_properties == {}
    assert crystal_from_json(text).frac_coords.tolist() == [[0.25, 1.5, -0.5]]


def test_disorder_is_refused():
    with pytest.raises(ValueError, match="disordered"):
        crystal_to_json(Structure(Lattice.cubic(4), [{"Fe": 0.5, "Ni": 0.5}], [[0, 0, 0]]))


SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize(
    "looked_at",
    [
        lambda x: x == SALT,
        lambda x: SALT.__eq__(x),
        lambda x: len(x) == 8,
        lambda x: x[0].specie.symbol == "Na",
        lambda x: x.lattice.a == 5.6,
        lambda x: x.composition == SALT.composition,
        lambda x: repr(x) == repr(SALT),
        lambda x: x.as_dict() == SALT.as_dict(),
        lambda x: type(x.copy()) is Structure and x.copy() == SALT,
        lambda x: len(x.get_primitive_structure()) == 2,
        lambda x: (x * (2, 1, 1)).num_sites == 16,
        lambda x: x.matches(SALT),
        lambda x: x.charge == SALT.charge,
        lambda x: pickle.loads(pickle.dumps(x)) == SALT,
        lambda x: copy.deepcopy(x) == SALT,
    ],
)
def test_a_crystal_that_is_read_late_is_like_any_other(looked_at):
    crystal = crystal_to_read(crystal_to_json(SALT))
    assert isinstance(crystal, Structure)
    assert crystal_to_json(crystal) == crystal_to_json(SALT)
    assert looked_at(crystal)
    crystal.translate_sites([0], [0.25, 0, 0])  # and may be changed without the line it came from coming back
    assert crystal_to_json(crystal) != crystal_to_json(SALT)
    assert type(crystal) is Structure


def test_what_is_no_crystal_is_told_when_it_is_looked_at():
    broken = crystal_to_read('{"lattice": 3}')
    with pytest.raises(KeyError):
        len(broken)


def test_a_formula_and_a_moment_s_look_leave_a_line_a_line():
    """A resumed campaign asks for the formulas and fingerprints of all its crystals, and must not keep them parsed."""
    crystal = crystal_to_read(crystal_to_json(SALT))
    unread = type(crystal)
    assert reduced_formula(crystal) == reduced_formula(SALT) == SALT.composition.reduced_formula
    assert momentary(crystal) == SALT
    assert type(crystal) is unread is not type(SALT)
    assert momentary(SALT) is SALT
