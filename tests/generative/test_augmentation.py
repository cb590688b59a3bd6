from __future__ import annotations

import numpy as np
import pytest
from prototypes import PROTOTYPES

from campaigns.elements import SYMBOLS
from generative import exchange_build
from generative.augmentation import (
    Augmentation,
    element_volumes,
    exchange_chances,
    exchange_weights,
    substitute,
    substituted,
)
from generative.datasets import MAX_ORBITS, Codes, stack
from generative.lattice_shape import SYSTEMS
from generative.representations.wyckoff import WyckoffRepresentation, crystal_of
from generative.symmetry import space_group

ALLOWED = tuple(range(1, 84))
ELEMENTS_ONLY = Augmentation(distant=0, rearrange=0, coordinates=0, lengths=0, angles_deg=0)
VOLUMES = np.linspace(10.0, 40.0, len(SYMBOLS) + 1)


@pytest.fixture(scope="module")
def codes() -> Codes:
    return stack(WyckoffRepresentation().featurize(list(PROTOTYPES.values())))


def test_a_relative_keeps_the_prototype(codes):
    rng = np.random.default_rng(0)
    for i in range(len(codes)):
        code = codes.code(i)
        relative = substitute(code, rng, VOLUMES, ALLOWED, ELEMENTS_ONLY)
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
        relative = substitute(code, rng, VOLUMES, ALLOWED, ELEMENTS_ONLY)
        before, after = crystal_of(code), crystal_of(relative)
        growth = sum(VOLUMES[s.specie.Z] for s in after) / sum(VOLUMES[s.specie.Z] for s in before)
        assert after.volume / before.volume == pytest.approx(growth, rel=1e-6)


def test_the_committed_table_is_what_pymatgen_gives():
    np.testing.assert_allclose(exchange_weights(), exchange_build.exchange_weights(), rtol=1e-12)


def test_elements_are_exchanged_for_those_found_in_their_place():
    elements, weights = exchange_chances(ALLOWED)[11]
    assert 11 not in elements
    order = [SYMBOLS[z - 1] for z in elements[np.argsort(-weights)]]
    assert set(order[:3]) == {"Li", "K", "Rb"}
    assert not {"O", "Cl"} & set(order[:10])


def test_an_element_without_known_exchanges_takes_its_neighbours():
    elements, weights = exchange_chances(ALLOWED)[2]
    assert len(elements) > 0
    assert len(set(weights)) == 1


def test_nothing_is_exchanged_where_no_other_element_is_allowed(codes):
    names = list(PROTOTYPES)
    code = codes.code(names.index("rock salt"))
    assert substitute(code, np.random.default_rng(0), VOLUMES, (11, 17), ELEMENTS_ONLY) is None


def test_a_rearranged_relative_is_a_crystal_of_the_same_group(codes):
    rng = np.random.default_rng(2)
    changed = 0
    for i in range(len(codes)):
        code = codes.code(i)
        for _ in range(10):
            relative = substitute(code, rng, VOLUMES, ALLOWED, Augmentation(rearrange=1))
            assert relative is not None
            assert relative.space_group == code.space_group
            assert 0 < relative.n_atoms <= 1.25 * code.n_atoms
            assert len(relative.positions) <= MAX_ORBITS
            fixed = [p for p in relative.positions.tolist() if not space_group(relative.space_group).degrees[p]]
            assert len(fixed) == len(set(fixed))
            assert len(crystal_of(relative)) == relative.n_atoms
            changed += relative.n_atoms != code.n_atoms or not np.array_equal(relative.positions, code.positions)
    assert changed > len(codes)


def test_a_strain_keeps_the_lattice_system(codes):
    rng = np.random.default_rng(3)
    for i in range(len(codes)):
        code = codes.code(i)
        relative = substitute(code, rng, VOLUMES, ALLOWED, Augmentation(rearrange=0, lengths=0.1, angles_deg=3))
        assert relative is not None
        free = SYSTEMS[space_group(code.space_group).system]
        a, b, c, *angles = relative.lattice
        assert free[0] or a == pytest.approx(b)
        assert free[1] or a == pytest.approx(c)
        for angle, before, moves in zip(angles, code.lattice[3:], free[2:], strict=True):
            assert moves or angle == pytest.approx(before)


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
