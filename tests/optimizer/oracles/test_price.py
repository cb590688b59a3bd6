"""The price oracle."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from campaigns.records import Failed, FailureCode, Measured
from optimizer.oracles.price import Params, build, element_prices
from optimizer.protocols import OracleContext

ORACLE = build(Params(), OracleContext("cpu"))


def test_a_compound_costs_what_its_elements_cost_by_mass():
    crystal = Structure.from_spacegroup(225, Lattice.cubic(4.211), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    ((_, outcome),) = ORACLE.evaluate([crystal], seed=0)
    assert isinstance(outcome, Measured)
    share = 24.305 / (24.305 + 15.999)
    expected = share * 2.32 + (1 - share) * 0.154
    assert outcome.values["price_usd_kg"] == pytest.approx(expected, rel=1e-4)
    assert outcome.values["price_usd_litre"] == pytest.approx(3.585 * expected, rel=1e-3)  # 3.585 kg/L
    assert outcome.details["most_of_it_for"] == "Mg"


def test_an_element_that_nobody_sells_is_named():
    ((_, outcome),) = ORACLE.evaluate([Structure(Lattice.cubic(4), ["Ra", "O"], [[0, 0, 0], [0.5] * 3])], seed=0)
    assert isinstance(outcome, Failed)
    assert outcome.code == FailureCode.NO_REFERENCE
    assert "Ra" in outcome.message


def test_prices_are_in_dollars_per_kilogram():
    prices = element_prices()
    assert 0.1 < prices["Fe"] < 1
    assert 50_000 < prices["Au"] < 150_000
    assert min(prices.values()) > 0
