"""The bulk modulus oracle."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from campaigns.records import Failed, FailureCode, Measured
from optimizer.oracles import bulk_modulus
from optimizer.oracles.bulk_modulus import Params, build
from optimizer.protocols import OracleContext

EMT = "ase.calculators.emt:EMT"
CONTEXT = OracleContext("cpu")


def _copper(edge: float = 3.59) -> Structure:
    return Structure.from_spacegroup(225, Lattice.cubic(edge), ["Cu"], [[0, 0, 0]]).get_primitive_structure()


def test_copper_has_the_modulus_emt_was_fitted_to():
    ((_, outcome),) = build(Params(calculator=EMT), CONTEXT).evaluate([_copper()], seed=0)
    assert isinstance(outcome, Measured)
    assert outcome.values["bulk_modulus_gpa"] == pytest.approx(134, abs=2)
    assert outcome.flags == ()
    assert outcome.details["residual_mev_atom"] < 1
    assert outcome.details["equilibrium_volume_ang3_atom"] == pytest.approx(11.57, abs=0.02)


def test_a_crystal_far_from_its_minimum_is_refused():
    ((_, outcome),) = build(Params(calculator=EMT), CONTEXT).evaluate([_copper(3.9)], seed=0)
    assert isinstance(outcome, Failed)
    assert outcome.code == FailureCode.EOS_NO_MINIMUM


def test_a_modulus_above_the_stiffest_solid_is_flagged(monkeypatch):
    monkeypatch.setattr(bulk_modulus, "SUSPICIOUS_GPA", 100.0)
    ((_, outcome),) = build(Params(calculator=EMT), CONTEXT).evaluate([_copper()], seed=0)
    assert isinstance(outcome, Measured)
    assert outcome.flags == ("suspicious_modulus",)


def test_an_even_number_of_volumes_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="write 9"):
        build(Params(calculator=EMT, n_volumes=8), CONTEXT)
