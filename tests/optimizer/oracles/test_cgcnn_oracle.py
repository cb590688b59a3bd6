"""The oracle that asks CGCNN."""

from __future__ import annotations

import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from campaigns.records import Failed, FailureCode, Measured
from optimizer.oracles.cgcnn import Params, build
from optimizer.protocols import OracleContext
from optimizer.relaxation import to_structure

CONTEXT = OracleContext("cpu")


def test_the_properties_asked_for_and_no_other_flagged_as_predicted():
    oracle = build(Params(properties=("band_gap_ev", "shear_modulus_gpa")), CONTEXT)
    ((_, outcome),) = oracle.evaluate([to_structure(bulk("MgO", "rocksalt", 4.212))], seed=0)
    assert isinstance(outcome, Measured)
    assert set(outcome.values) == {"band_gap_ev", "shear_modulus_gpa"}
    assert outcome.flags == ("predicted",)
    assert outcome.details["metal_probability"] < 0.1
    assert outcome.details["validation_error"] == {"band_gap_ev": 0.369, "shear_modulus_gpa_log10": 0.091}


def test_an_element_that_the_networks_never_saw_is_an_outcome():
    ((_, outcome),) = build(Params(), CONTEXT).evaluate([Structure(Lattice.cubic(3), ["Lr"], [[0, 0, 0]])], seed=0)
    assert isinstance(outcome, Failed)
    assert outcome.code == FailureCode.NO_REFERENCE


def test_a_property_named_twice_is_refused():
    with pytest.raises(ValueError, match="once"):
        build(Params(properties=("poisson_ratio", "poisson_ratio")), CONTEXT)
