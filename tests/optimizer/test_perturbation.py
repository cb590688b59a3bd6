"""Pushing atoms aside and relaxing them."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from pymatgen.core import Lattice, Structure

from campaigns.records import Failed, FailureCode
from optimizer.perturbation import (
    PerturbationLimits,
    Perturbed,
    farthest_from_home,
    perturb_and_relax,
    supercell_repeats,
)
from optimizer.relaxation import to_atoms, to_structure

LIMITS = PerturbationLimits(trials=1)


def _perturbed(crystal: Structure, seed: int = 0) -> Perturbed:
    found = perturb_and_relax(crystal, EMT(), LIMITS, seed=seed)
    assert isinstance(found, Perturbed), found
    return found


def test_face_centred_copper_comes_back():
    found = _perturbed(to_structure(bulk("Cu", "fcc", 3.59)))
    assert found.energy_drop_ev_atom == pytest.approx(0, abs=1e-4)
    assert found.displacement_ang < 0.02
    assert found.repeats == (2, 2, 2)


def test_simple_cubic_copper_falls():
    found = _perturbed(to_structure(bulk("Cu", "sc", 2.4)))
    assert found.energy_drop_ev_atom > 0.1
    assert found.displacement_ang > 0.5


def test_the_seed_decides_the_push():
    copper = to_structure(bulk("Cu", "fcc", 3.59))
    same = [_perturbed(copper, seed) for seed in (1, 1, 2)]
    assert same[0] == same[1]
    assert same[0] != same[2]


@pytest.mark.parametrize(
    ("edges", "max_atoms", "expected"),
    [((3, 3, 3), 40, (2, 2, 2)), ((2.5, 6, 11), 40, (2, 1, 1)), ((3, 3, 3), 4, (2, 2, 1))],
)
def test_a_supercell_is_long_enough_unless_it_holds_too_many_atoms(edges, max_atoms, expected):
    crystal = Structure(Lattice.orthorhombic(*edges), ["Cu"], [[0, 0, 0]])
    assert supercell_repeats(crystal, PerturbationLimits(max_atoms=max_atoms)) == expected


def test_a_drift_of_all_atoms_is_no_displacement():
    home = to_atoms(to_structure(bulk("Cu"))).repeat(2)
    moved = home.copy()
    moved.positions += np.array([0.3, -0.2, 0.9])
    assert farthest_from_home(home, moved) == pytest.approx(0)


def test_a_calculator_that_fails_is_an_outcome():
    found = perturb_and_relax(Structure(Lattice.cubic(3.4), ["Po"], [[0, 0, 0]]), EMT(), LIMITS, seed=0)
    assert isinstance(found, Failed)
    assert found.code == FailureCode.CALCULATOR_ERROR
