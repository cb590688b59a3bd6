"""Volume per atom in cubic angstrom."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from optimizer.oracles.volume import Params, build
from optimizer.protocols import OracleContext


def test_the_volume_is_counted_per_atom():
    copper = Structure.from_spacegroup(225, Lattice.cubic(4.0), ["Cu"], [[0, 0, 0]])
    ((_, outcome),) = build(Params(), OracleContext("cpu")).evaluate([copper], seed=0)
    assert outcome.values["volume_ang3_atom"] == pytest.approx(16.0)
