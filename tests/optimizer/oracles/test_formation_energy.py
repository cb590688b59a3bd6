"""Formation energies from CHGNet and the elements' references."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from campaigns.records import Failed, FailureCode, Measured
from optimizer.oracles.formation_energy import Params, build
from optimizer.protocols import OracleContext

CONTEXT = OracleContext("cpu")


def _rock_salt(a: str, b: str, edge: float) -> Structure:
    return Structure.from_spacegroup(225, Lattice.cubic(edge), [a, b], [[0, 0, 0], [0.5] * 3]).get_primitive_structure()


def test_rock_salts_have_the_formation_energies_of_the_materials_project():
    crystals = [_rock_salt("Na", "Cl", 5.69), _rock_salt("Mg", "O", 4.26), _rock_salt("Yb", "O", 4.88)]
    outcomes = dict(build(Params(), CONTEXT).evaluate(crystals, seed=0))
    assert all(isinstance(outcome, Measured) for outcome in outcomes.values())
    assert outcomes[0].values["formation_energy_ev_atom"] == pytest.approx(-2.11, abs=0.05)
    assert outcomes[1].values["formation_energy_ev_atom"] == pytest.approx(-3.04, abs=0.05)
    assert outcomes[0].flags == outcomes[1].flags == ()
    assert outcomes[2].flags == ("fitted_reference",)


def test_an_element_without_reference_fails_that_crystal_only():
    crystals = [_rock_salt("Po", "O", 5.0), _rock_salt("Na", "Cl", 5.69)]
    outcomes = dict(build(Params(), CONTEXT).evaluate(crystals, seed=0))
    assert isinstance(outcomes[0], Failed)
    assert outcomes[0].code == FailureCode.NO_REFERENCE
    assert isinstance(outcomes[1], Measured)


def test_a_potential_without_references_is_refused():
    with pytest.raises(ValueError, match="for chgnet and sevennet"):
        build(Params(calculator="ase.calculators.emt:EMT"), CONTEXT)
