"""Crystals as one line of JSON."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from campaigns.crystals import crystal_from_json, crystal_to_json


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
