"""The abundance oracle."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from campaigns.records import Failed, FailureCode, Measured
from optimizer.oracles.abundance import Params, build
from optimizer.protocols import OracleContext

ORACLE = build(Params(), OracleContext("cpu"))


def _pair(first: str, second: str) -> Structure:
    return Structure(Lattice.cubic(4), [first, second], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_the_scarcest_element_decides():
    ((_, outcome),) = ORACLE.evaluate([_pair("Cd", "Te")], seed=0)
    assert isinstance(outcome, Measured)
    assert outcome.values["scarcest_element_ppm"] == pytest.approx(0.001)
    share = 127.60 / (127.60 + 112.414)
    assert outcome.values["crust_yield_ppm"] == pytest.approx(0.001 / share, rel=1e-3)
    assert outcome.details["scarcest"] == "Te"


def test_common_elements_are_parts_per_million_by_mass():
    ((_, outcome),) = ORACLE.evaluate([_pair("Fe", "O")], seed=0)
    assert isinstance(outcome, Measured)
    assert outcome.values["scarcest_element_ppm"] == pytest.approx(56_300)


def test_an_element_that_the_crust_does_not_hold_is_named():
    ((_, outcome),) = ORACLE.evaluate([_pair("Tc", "O")], seed=0)
    assert isinstance(outcome, Failed)
    assert outcome.code == FailureCode.NO_REFERENCE
    assert "Tc" in outcome.message
