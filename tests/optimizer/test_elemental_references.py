"""Elements' reference energies."""

from __future__ import annotations

import pytest
from pymatgen.core import Composition

from campaigns.records import FailureCode
from optimizer.calculators import CalculatorParams, potential
from optimizer.elemental_references import elemental_references, require_mp2020


def test_the_numbers_are_the_materials_projects():
    energies = elemental_references().energy_ev_atom
    assert len(energies) == 89
    assert energies["Si"] == pytest.approx(-5.425, abs=1e-3)
    assert energies["O"] == pytest.approx(-4.948, abs=1e-3)
    assert elemental_references().fitted == {"Yb"}


def test_a_formation_energy_is_the_energy_against_the_elements():
    references = elemental_references()
    elements = (references.energy_ev_atom["Na"] + references.energy_ev_atom["Cl"]) / 2
    assert references.formation_energy(Composition("Na4Cl4"), elements - 2.0) == pytest.approx(-2.0)
    assert references.formation_energy(Composition("Si"), references.energy_ev_atom["Si"]) == 0


def test_missing_and_fitted_elements_are_named():
    references = elemental_references()
    missing = references.missing(["O", "Po", "At"])
    assert missing is not None
    assert missing.code == FailureCode.NO_REFERENCE
    assert "At, Po" in missing.message
    assert references.missing(["O", "Yb"]) is None
    assert references.flags(["O", "Yb"]) == ("fitted_reference",)
    assert references.flags(["O"]) == ()


def test_another_potential_is_refused_with_the_remedy():
    chosen = potential(CalculatorParams(calculator="ase.calculators.emt:EMT"), "cpu")
    with pytest.raises(ValueError, match="write `calculator: chgnet`"):
        require_mp2020(chosen, "formation_energy")
