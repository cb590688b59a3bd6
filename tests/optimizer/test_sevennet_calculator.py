"""SevenNet on the corrected scale: the corrections, and what is said where it is not installed."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from pymatgen.core import Lattice, Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedStructureEntry

from optimizer import sevennet_calculator
from optimizer.calculators import CalculatorParams, potential
from optimizer.relaxation import to_atoms
from optimizer.sevennet_calculator import CorrectedCalculator, mp2020_correction

SEVENNET = CalculatorParams(calculator="sevennet")


def test_corrections_are_those_of_the_mp2020_scheme():
    oxide = bulk("MgO", "rocksalt", a=4.2)
    assert mp2020_correction(oxide) == pytest.approx(-0.687)  # one oxygen, eV
    iron = bulk("FeO", "rocksalt", a=4.3)
    assert mp2020_correction(iron) == pytest.approx(-0.687 - 2.256)  # and an iron computed with U
    assert mp2020_correction(iron.repeat((1, 1, 2))) == pytest.approx(2 * (-0.687 - 2.256))
    assert mp2020_correction(bulk("Cu")) == 0
    assert mp2020_correction(bulk("CuAu", "rocksalt", a=5)) == 0
    assert mp2020_correction(bulk("O", "fcc", a=5)) == 0
    sulfate = Structure.from_spacegroup(  # anhydrite; its sulfur is no anion
        63,
        Lattice.orthorhombic(7.0, 7.0, 6.24),
        ["Ca", "S", "O", "O"],
        [[0, 0.65, 0.25], [0, 0.15, 0.25], [0.17, 0.01, 0.25], [0, 0.3, 0.08]],
    )
    entry = ComputedStructureEntry(sulfate, 0.0, parameters={"run_type": "GGA", "hubbards": {}, "software": "x"})
    (oxygen,) = MaterialsProject2020Compatibility(check_potcar=False).get_adjustments(entry)
    assert mp2020_correction(to_atoms(sulfate)) == pytest.approx(oxygen.value)
    assert mp2020_correction(bulk("LiH", "rocksalt", a=4)) == pytest.approx(-0.179)


def test_energies_are_corrected_and_forces_are_not():
    atoms = Atoms("CuO", cell=[3, 3, 4], pbc=True, scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.45]])
    atoms.calc = EMT()
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    atoms.calc = CorrectedCalculator(EMT())
    assert atoms.get_potential_energy() == pytest.approx(energy - 0.687)
    np.testing.assert_allclose(atoms.get_forces(), forces)


def test_without_the_package_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(sevennet_calculator.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"needs the package sevenn; install it with `pip install 'latentore\[verify\]'`"
    ):
        potential(SEVENNET, "cpu")
    with pytest.raises(ValueError, match="takes no calculator_args"):
        potential(CalculatorParams(calculator="sevennet", calculator_args={"x": 1}), "cpu")


@pytest.mark.skipif(importlib.util.find_spec("sevenn") is None, reason="the extra `verify` is not installed")
def test_formation_energies_are_on_the_materials_projects_scale():
    from pymatgen.core import Composition

    from optimizer.elemental_references import elemental_references

    atoms = bulk("MgO", "rocksalt", a=4.256)
    atoms.calc = potential(SEVENNET, "cpu").calculator
    energy = atoms.get_potential_energy() / 2
    formation = elemental_references().formation_energy(Composition("MgO"), energy)
    assert formation == pytest.approx(-3.07, abs=0.05)  # mp-1265
