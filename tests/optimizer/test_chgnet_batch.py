"""Many crystals in one pass of CHGNet give what chgnet gives one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from optimizer.calculators import CalculatorParams, potential
from optimizer.chgnet_batch import BatchedCHGNet, CrystalBatch, find_bonds
from optimizer.chgnet_calculator import chgnet_warnings_handled
from optimizer.relaxation import to_atoms

ROCK_SALT = Structure(Lattice.from_parameters(4, 4, 4, 60, 60, 60), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
STRAIGHT = Structure(
    Lattice.cubic(3.9), ["Sr", "Ti", "O", "O", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
)
SKEWED = Structure(
    [[3.1, 0, 0], [2.7, 2.9, 0], [0.4, -1.9, 6.1]], ["Ga", "As", "H"], [[0, 0, 0], [1.3, -0.6, 0.4], [3, 3.7, 0.8]]
)
SINGLE = Structure(Lattice.from_parameters(2.55, 2.55, 2.55, 60, 60, 60), ["Cu"], [[0, 0, 0]])


def crystals() -> list[Structure]:
    displaced = STRAIGHT.copy()
    displaced.translate_sites([1], [0.02, 0.01, -0.015])
    return [ROCK_SALT, displaced, SKEWED, SINGLE]


def batch_of(xs) -> CrystalBatch:
    given = [(np.array(x.atomic_numbers), x.frac_coords, x.lattice.matrix) for x in xs]
    return CrystalBatch.of(given, torch.device("cpu"))


@pytest.fixture(scope="module")
def calculator():
    return potential(CalculatorParams(), "cpu").calculator


@pytest.fixture(scope="module")
def batched(calculator) -> BatchedCHGNet:
    return calculator.batched


def test_bonds_are_pymatgens_neighbours_each_once():
    xs = crystals()
    batch = batch_of(xs)
    bonds = find_bonds(batch, 6.0)
    for number, crystal in enumerate(xs):
        mine = batch.owners[bonds.first] == number
        lengths = np.sort(np.repeat(bonds.lengths[mine].numpy(), 2))
        np.testing.assert_allclose(lengths, np.sort(crystal.get_neighbor_list(6.0)[3]), atol=1e-8)
        vectors = (
            batch.fractional[bonds.second] + bonds.images - batch.fractional[bonds.first]
        ).numpy() @ crystal.lattice.matrix
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1)[mine], bonds.lengths[mine], atol=1e-9)


def test_a_batch_gives_what_the_calculator_gives_for_each(batched, calculator):
    xs = crystals()
    batch = batch_of(xs)
    predicted = batched.predict(batch, batched.bonds(batch))
    for number, crystal in enumerate(xs):
        atoms = to_atoms(crystal)
        atoms.calc = calculator
        mine = batch.owners == number
        assert float(predicted.energies[number]) == pytest.approx(atoms.get_potential_energy() / len(atoms), abs=1e-6)
        np.testing.assert_allclose(predicted.forces[mine], atoms.get_forces(), atol=1e-5)
        np.testing.assert_allclose(predicted.stresses[number], atoms.get_stress(voigt=False), atol=1e-6)
    alone = batched.energies(batch, batched.bonds(batch))
    np.testing.assert_allclose(alone, predicted.energies, atol=1e-6)


def test_chgnet_itself_says_the_same_within_its_rounding(batched):
    """chgnet computes angles in float32, which is good to 1e-4 eV/angstrom; straight angles are the worst."""
    xs = crystals()
    batch = batch_of(xs)
    predicted = batched.predict(batch, batched.bonds(batch))
    for number, crystal in enumerate(xs):
        with chgnet_warnings_handled():
            theirs = batched.model.predict_graph(batched.model.graph_converter(crystal), task="efs")
        mine = batch.owners == number
        assert float(predicted.energies[number]) == pytest.approx(float(theirs["e"]), abs=1e-5)
        np.testing.assert_allclose(predicted.forces[mine], theirs["f"], atol=3e-4)
        np.testing.assert_allclose(predicted.stresses[number] * 160.21766208, theirs["s"], atol=5e-3)


def test_elements_it_was_not_trained_on_are_named(batched):
    assert batched.cannot_take(np.array([8, 94])) == ""
    assert "not [8, 103]" in batched.cannot_take(np.array([8, 103]))
    assert batched.cannot_take(np.array([], dtype=int))
