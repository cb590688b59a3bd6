"""Features of compositions and crystals."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Composition, Lattice, Structure

from surrogates.predictors.features import composition_features, crystal_features

SALT = Structure.from_spacegroup(225, Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_a_crystal_written_down_otherwise_has_the_same_features():
    expected = crystal_features(SALT)
    assert expected.shape == (143,)
    for other in (SALT.get_primitive_structure(), SALT * (2, 1, 1)):
        assert crystal_features(other) == pytest.approx(expected, rel=1e-6)


def test_polymorphs_differ_and_formulas_do_not():
    caesium_chloride = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    one, other = crystal_features(SALT), crystal_features(caesium_chloride)
    assert np.array_equal(one[:138], other[:138])
    assert not np.allclose(one[138:], other[138:])
    assert np.array_equal(composition_features(Composition("Na2Cl2")), one[:138])


@pytest.mark.parametrize(
    "crystal",
    [
        Structure(Lattice.cubic(4), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]]),
        Structure(Lattice.cubic(4), [], []),
        Structure(Lattice.cubic(4), ["Cu"], [[np.nan, 0, 0]]),
        Structure(Lattice.cubic(0.5), ["Cu"], [[0, 0, 0]]),
    ],
    ids=["disordered", "empty", "no number", "tiny"],
)
def test_what_is_no_crystal_is_refused(crystal):
    with pytest.raises(ValueError, match="no"):
        crystal_features(crystal)
