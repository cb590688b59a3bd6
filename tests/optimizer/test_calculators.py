"""Potentials by name or import path, and the errors for a wrong one."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from ase.build import bulk

from optimizer import calculators
from optimizer.calculators import CalculatorParams, potential

EMT = "ase.calculators.emt:EMT"


def test_chgnet_is_the_default_and_is_loaded_once():
    chosen = potential(CalculatorParams(), "cpu")
    assert chosen.version == "chgnet-0.3.0"
    assert chosen.calculator is potential(CalculatorParams(), "cpu").calculator
    assert pickle.loads(pickle.dumps(chosen)).calculator is chosen.calculator


def test_chgnet_forces_and_stress_are_the_slope_of_its_energy():
    atoms = bulk("NaCl", "rocksalt", a=5.5)
    atoms.positions[0] += [0.1, 0.05, 0]
    atoms.calc = potential(CalculatorParams(), "cpu").calculator
    forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
    moved, step = [], 0.01
    for sign in (1, -1):
        other = atoms.copy()
        other.calc = atoms.calc
        other.positions[0, 0] += sign * step
        moved.append(other.get_potential_energy())
    assert forces[0, 0] == pytest.approx(-(moved[0] - moved[1]) / (2 * step), abs=5e-3)
    squeezed = []
    for sign in (1, -1):
        other = atoms.copy()
        other.calc = atoms.calc
        other.set_cell(atoms.cell * (1 + sign * 0.002), scale_atoms=True)
        squeezed.append(other.get_potential_energy())
    virial = (squeezed[0] - squeezed[1]) / 0.004
    assert np.trace(stress) * atoms.get_volume() == pytest.approx(virial, rel=0.02)


def test_an_ase_calculator_by_import_path_names_its_package_version():
    chosen = potential(CalculatorParams(calculator=EMT), "cpu")
    assert chosen.version.startswith("ase.calculators.emt:EMT-3.")
    assert type(chosen.calculator).__name__ == "EMT"


def test_arguments_reach_the_calculator_and_change_the_version():
    plain = potential(CalculatorParams(calculator="ase.calculators.lj:LennardJones"), "cpu")
    wide = potential(CalculatorParams(calculator="ase.calculators.lj:LennardJones", calculator_args={"rc": 7.5}), "cpu")
    assert wide.calculator.parameters["rc"] == 7.5
    assert wide.version != plain.version


def test_a_model_in_a_file_that_was_trained_further_is_another_potential(tmp_path):
    model = tmp_path / "label"
    params = CalculatorParams(calculator="ase.calculators.emt:EMT", calculator_args={"label": str(model)})
    versions = []
    for content in ("before", "after", "before"):
        model.write_text(content)
        versions.append(potential(params, "cpu").version)
    assert versions[0] == versions[2] != versions[1]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"calculator": "emt"}, "cannot be read; write chgnet, sevennet, or an import path"),
        ({"calculator": "no.such.module:X"}, "cannot be imported"),
        ({"calculator": "ase.calculators.emt:Nope"}, "has no class Nope"),
        ({"calculator": "ase.calculators.singlepoint:SinglePointCalculator"}, "refuses {}: TypeError"),
        ({"calculator_args": {"x": 1}}, "takes no calculator_args"),
    ],
)
def test_a_calculator_that_cannot_be_had_is_refused_with_the_reason(params, message):
    with pytest.raises(ValueError, match="calculator") as caught:
        potential(CalculatorParams(**params), "cpu")
    assert message in str(caught.value)


def test_other_weights_than_those_measured_are_refused(monkeypatch):
    monkeypatch.setattr(calculators, "CHGNET_SHA256", "0" * 64)
    calculators._verified_chgnet_weights.cache_clear()
    with pytest.raises(ValueError, match="not the CHGNet"):
        potential(CalculatorParams(), "cpu")
