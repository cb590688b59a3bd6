"""The elastic oracle."""

from __future__ import annotations

import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from campaigns.records import Failed, FailureCode, Measured
from optimizer.oracles.elastic import Params, build
from optimizer.protocols import OracleContext
from optimizer.relaxation import RelaxationLimits, Relaxed, relax, to_structure

ORACLE = build(Params(calculator="ase.calculators.emt:EMT"), OracleContext("cpu"))


def test_moduli_of_copper_as_emt_has_it():
    """C11 172.4, C12 115.3, C44 89.9 GPa by hand: K = (C11 + 2 C12) / 3, Voigt and Reuss shear 65.4 and 48.5."""
    relaxed = relax(to_structure(bulk("Cu")), EMT(), RelaxationLimits(max_stress_gpa=0.02))
    assert isinstance(relaxed, Relaxed)
    ((_, outcome),) = ORACLE.evaluate([relaxed.crystal], seed=0)
    assert isinstance(outcome, Measured)
    values = outcome.values
    assert values["bulk_modulus_vrh_gpa"] == pytest.approx(134.3, abs=0.5)
    assert values["shear_modulus_gpa"] == pytest.approx(56.9, abs=0.5)
    assert values["young_modulus_gpa"] == pytest.approx(9 * 134.3 * 56.9 / (3 * 134.3 + 56.9), rel=0.01)
    assert values["poisson_ratio"] == pytest.approx(0.314, abs=0.003)
    assert values["pugh_ratio"] == pytest.approx(134.3 / 56.9, rel=0.01)
    assert values["elastic_anisotropy"] == pytest.approx(5 * 65.4 / 48.5 - 5, abs=0.1)
    assert outcome.flags == ()
    assert len(outcome.details["stiffness_gpa"]) == 6


def test_a_crystal_that_gives_way_to_a_strain_has_no_moduli():
    """Body-centred copper goes over into face-centred copper along Bain's path without a barrier."""
    relaxed = relax(to_structure(bulk("Cu", "bcc", 2.87)), EMT(), RelaxationLimits(max_stress_gpa=0.02))
    assert isinstance(relaxed, Relaxed)
    ((_, outcome),) = ORACLE.evaluate([relaxed.crystal], seed=0)
    assert isinstance(outcome, Failed)
    assert outcome.code == FailureCode.ELASTIC_UNSTABLE


def test_stress_that_is_left_is_flagged():
    ((_, outcome),) = ORACLE.evaluate([to_structure(bulk("Cu", "fcc", 3.63))], seed=0)
    assert isinstance(outcome, Measured)
    assert "stressed" in outcome.flags
