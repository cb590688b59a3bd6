"""Density in g/cm^3."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from optimizer.oracles.density import Params, build
from optimizer.protocols import OracleContext


def test_copper_weighs_what_it_weighs():
    copper = Structure.from_spacegroup(225, Lattice.cubic(3.615), ["Cu"], [[0, 0, 0]])
    ((_, outcome),) = build(Params(), OracleContext("cpu")).evaluate([copper], seed=0)
    assert outcome.values["density_g_cm3"] == pytest.approx(8.93, abs=0.01)
