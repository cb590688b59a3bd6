from __future__ import annotations

import numpy as np
import pytest
from prototypes import PROTOTYPES

from campaigns.elements import SYMBOLS
from generative.augmentation import element_volumes, similar_elements, substitute, substituted
from generative.datasets import Codes, stack
from generative.representations.wyckoff import WyckoffRepresentation, crystal_of

ALLOWED = tuple(range(1, 84))
VOLUMES = np.linspace(10.0, 40.0, len(SYMBOLS) + 1)


@pytest.fixture(scope="module")
def codes() -> Codes:
    return stack(WyckoffRepresentation().featurize(list(PROTOTYPES.values())))


def test_a_relative_keeps_the_prototype(codes):
    rng = np.random.default_rng(0)
    for i in range(len(codes)):
        code = codes.code(i)
        relative = substitute(code, rng, VOLUMES, ALLOWED)
        assert relative is not None
        assert relative.space_group == code.space_group
        assert relative.n_atoms == code.n_atoms
        assert len(set(relative.elements.tolist())) == len(set(code.elements.tolist()))
        assert sorted(np.unique(relative.elements, return_counts=True)[1]) == sorted(
            np.unique(code.elements, return_counts=True)[1]
        )
        assert set(relative.elements.tolist()) != set(code.elements.tolist())


def test_volume_follows_the_sizes_of_the_atoms(codes):
    rng = np.random.default_rng(1)
    for i in range(len(codes)):
        code = codes.code(i)
        relative = substitute(code, rng, VOLUMES, ALLOWED)
        before, after = crystal_of(code), crystal_of(relative)
        growth = sum(VOLUMES[s.specie.Z] for s in after) / sum(VOLUMES[s.specie.Z] for s in before)
        assert after.volume / before.volume == pytest.approx(growth, rel=1e-6)


def test_elements_are_exchanged_for_similar_ones():
    near = similar_elements(ALLOWED)
    symbols = {SYMBOLS[z - 1] for z in near[11]}
    assert {"Li", "K"} <= symbols
    assert not {"Na", "O", "Fe", "Cl"} & symbols


def test_nothing_is_exchanged_where_no_similar_element_is_allowed(codes):
    names = list(PROTOTYPES)
    code = codes.code(names.index("rock salt"))
    assert substitute(code, np.random.default_rng(0), VOLUMES, (11, 17)) is None


def test_relatives_depend_on_the_seed_alone(codes):
    first, again, other = (list(substituted(codes, 2, seed)) for seed in (5, 5, 6))
    assert len(first) == len(again)
    assert len(first) > len(codes)
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.elements, b.elements)
        assert np.array_equal(a.coords, b.coords)
    assert any(not np.array_equal(a.elements, b.elements) for a, b in zip(first, other, strict=False))


def test_element_volumes_explain_the_cells(codes):
    volumes = element_volumes(codes)
    assert volumes.shape == (len(SYMBOLS) + 1,)
    assert (volumes >= 2.0).all()
