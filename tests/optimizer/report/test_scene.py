"""What the viewer draws of a crystal."""

from __future__ import annotations

import json
import math
from collections import Counter

from pymatgen.core import Lattice, Structure
from report_ledgers import salt

from optimizer.report.scene import scene


def kinds(found: dict) -> Counter[str]:
    return Counter(found["kinds"][atom[3]]["symbol"] for atom in found["atoms"])


def test_rock_salt_is_the_cube_that_people_know():
    found = scene(salt("Na", "Cl", 5.64))
    assert found["conventional"]
    assert kinds(found) == {"Na": 14, "Cl": 13}  # with the images on faces, edges and corners
    for a, b in found["bonds"]:
        assert math.dist(found["atoms"][a][:3], found["atoms"][b][:3]) < 2.9
        assert found["atoms"][a][3] != found["atoms"][b][3]
    lengths = {round(math.dist(found["corners"][a], found["corners"][b]), 2) for a, b in found["edges"]}
    assert (len(found["edges"]), lengths) == (12, {5.64})
    assert json.loads(json.dumps(found)) is not None


def test_metals_are_bonded_where_there_is_nothing_else():
    iron = scene(Structure(Lattice.cubic(2.87), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    assert kinds(iron) == {"Fe": 9}
    assert len(iron["bonds"]) >= 8


def test_a_crystal_without_symmetry_is_drawn_as_it_is():
    odd = Structure(Lattice.from_parameters(4, 5, 6, 80, 85, 95), ["Li", "O"], [[0.1, 0.2, 0.3], [0.6, 0.5, 0.8]])
    found = scene(odd)
    assert not found["conventional"]
    assert kinds(found) == {"Li": 1, "O": 1}
