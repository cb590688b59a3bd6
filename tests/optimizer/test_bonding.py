import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from optimizer.bonding import COLUMNS, SCALES, bonding
from optimizer.descriptors import descriptors
from optimizer.references import ReferenceTable

VOLUMES = np.full(103, 20.0)


def _perovskite(a: str, b: str, x: str = "O") -> Structure:
    return Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.9), [a, b, x], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]])


def _column(crystal: Structure, name: str) -> float:
    place = COLUMNS.index(name)
    return float(bonding([crystal], VOLUMES)[0, place] * SCALES[place])


def test_exchanged_sites_are_told_apart_where_composition_is_equal():
    straight, swapped = _perovskite("Sr", "Ti"), _perovskite("Ti", "Sr")
    rows = descriptors([straight, swapped], ReferenceTable.load())
    assert (rows[0] - rows[1]).abs().max() > 0.5


def test_supercells_and_rotations_change_nothing():
    crystal = _perovskite("Sr", "Ti")
    turned = Structure(Lattice(crystal.lattice.matrix[:, [1, 2, 0]]), crystal.species, crystal.frac_coords)
    rows = bonding([crystal, crystal * (2, 1, 1), turned], VOLUMES)
    assert rows[1] == pytest.approx(rows[0], abs=0.02)  # contacts beyond the neighbouring cells are not counted
    assert rows[2] == pytest.approx(rows[0])


def test_balanced_charges_leave_no_imbalance():
    assert _column(_perovskite("Sr", "Ti"), "charge_imbalance") == 0.0
    assert _column(_perovskite("Sr", "Al", "F"), "charge_imbalance") == pytest.approx(2 / 5)
    assert _column(_perovskite("Sr", "Ti"), "odd_electrons") == 0.0
    assert _column(_perovskite("Sr", "V"), "odd_electrons") == 1.0


def test_a_compressed_crystal_has_shorter_contacts():
    crystal = _perovskite("Sr", "Ti")
    small = crystal.copy()
    small.scale_lattice(0.8 * crystal.volume)
    assert _column(small, "shortest_contact") == pytest.approx(0.8 ** (1 / 3) * _column(crystal, "shortest_contact"))
    assert _column(small, "volume") == pytest.approx(_column(crystal, "volume") + np.log(0.8))
