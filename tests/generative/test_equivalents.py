from __future__ import annotations

import numpy as np
import pytest
from prototypes import PROTOTYPES
from pymatgen.analysis.structure_matcher import StructureMatcher

from generative.equivalents import WAYS, rewritten


@pytest.mark.parametrize("name", ["rutile", "wurtzite, polar", "P-1, triclinic"])
def test_every_way_writes_the_same_crystal_differently(name):
    x = PROTOTYPES[name]
    forms = list(rewritten(x, np.random.default_rng(0)))
    assert len(forms) == len(WAYS)
    for form in forms:
        assert StructureMatcher().fit(x, form)
        assert form.volume / len(form) == pytest.approx(x.volume / len(x))
        assert len(form) != len(x) or not np.allclose(form.cart_coords, x.cart_coords)
