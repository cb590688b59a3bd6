"""Whatever the network prefers, what is decoded lies inside the search space."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from campaigns.elements import SYMBOLS
from campaigns.records import FailureCode
from campaigns.search_space import SearchSpace
from generative.canonical import WyckoffCode
from generative.decoding import decode_codes
from generative.grammar import Grammar
from generative.protocols import DecodeFailure
from generative.representations.wyckoff import crystal_of
from generative.symmetry import space_group

FORMULAS = ("NaCl", "TiO2", "SrTiO3", "MgAl2O4", "Fe2O3", "LiFePO4", "Si", "Cu3Au", "CaMgSi2O6")
GROUPS = ("transition_metal", "chalcogen", "halogen", "lanthanide", "alkali_metal")


def _random_space(rng: np.random.Generator) -> SearchSpace:
    """Any space the schema accepts: lists and groups of elements, counts, space groups, formulas."""
    while True:
        words: dict = {"n_atoms": sorted(int(n) for n in rng.integers(1, 25, 2))}
        words["n_elements"] = sorted(int(n) for n in rng.integers(1, 6, 2))
        elements: dict = {}
        if rng.random() < 0.4:
            elements["include"] = [*map(str, rng.choice(SYMBOLS[:83], rng.integers(2, 12), replace=False))]
            if rng.random() < 0.3:
                elements["include"].append(str(rng.choice(GROUPS)))
        if rng.random() < 0.4:
            pool = elements.get("include", list(SYMBOLS[:83]))
            elements["require"] = [str(s) for s in rng.choice(pool, rng.integers(1, 3)) if s in SYMBOLS]
        if rng.random() < 0.4:
            words["space_groups"] = [int(n) for n in rng.integers(1, 231, rng.integers(1, 9))]
        if rng.random() < 0.25:
            words |= {"formula": str(rng.choice(FORMULAS)), "n_elements": [1, 5]}
            elements = {}
        try:
            return SearchSpace.model_validate({**words, "elements": elements})
        except ValidationError:
            continue


def _assert_inside(code: WyckoffCode, space: SearchSpace) -> None:
    group = space_group(code.space_group)
    assert space.space_groups is None or code.space_group in space.space_groups
    assert code.n_atoms in space.n_atoms
    symbols = {SYMBOLS[z - 1] for z in code.elements}
    assert symbols <= space.elements.allowed
    assert space.elements.required <= symbols
    assert len(symbols) in space.n_elements
    fixed = [int(p) for p in code.positions if group.degrees[p] == 0]
    assert len(fixed) == len(set(fixed)), "a fixed position was used twice"
    free = np.array([[slot in group.positions[p].free for slot in range(3)] for p in code.positions])
    assert (code.coords[~free] == 0).all()
    if space.formula is not None:
        counts: dict[str, int] = {}
        for position, z in zip(code.positions, code.elements, strict=True):
            symbol = SYMBOLS[z - 1]
            counts[symbol] = counts.get(symbol, 0) + int(group.multiplicities[position])
        divisor = np.gcd.reduce(list(counts.values()))
        expected = np.gcd.reduce(list(space.formula_counts.values()))
        assert {s: n // divisor for s, n in counts.items()} == {
            s: n // expected for s, n in space.formula_counts.items()
        }


def test_random_latents_stay_inside_two_hundred_random_spaces(network):
    rng = np.random.default_rng(0)
    impossible = 0
    for i in range(200):
        space = _random_space(rng)
        torch.manual_seed(i)
        for parameter in network.parameters():  # another untrained network every time
            parameter.data = parameter.data[torch.randperm(len(parameter))]
        grammar = Grammar(space)
        codes = decode_codes(network, 3 * torch.randn(6, 6), grammar)
        assert len(codes) == 6
        if not grammar.group_mask().any():
            assert all(isinstance(code, DecodeFailure) for code in codes)
            impossible += 1
            continue
        for code in codes:
            assert isinstance(code, WyckoffCode), space  # the masks look far enough ahead
            _assert_inside(code, space)
    assert 0 < impossible < 60


def test_decoded_codes_are_crystals_of_the_named_size(network):
    codes = decode_codes(network, torch.randn(20, 6), Grammar(SearchSpace()))
    for code in codes:
        assert isinstance(code, WyckoffCode)
        assert len(crystal_of(code)) == code.n_atoms


def test_decoding_is_a_function_of_the_latent(network):
    z = torch.randn(12, 6)
    grammar = Grammar(SearchSpace())
    first, again = decode_codes(network, z, grammar), decode_codes(network, z, grammar, chunk=5)
    turned = decode_codes(network, z.flip(0), grammar)[::-1]
    for a, b, c in zip(first, again, turned, strict=True):
        for other in (b, c):
            assert np.array_equal(a.positions, other.positions)
            assert np.array_equal(a.elements, other.elements)
            np.testing.assert_allclose(a.coords, other.coords, atol=1e-4)
            np.testing.assert_allclose(a.lattice, other.lattice, rtol=1e-4)


def test_an_impossible_space_is_a_dead_end_for_every_latent(network):
    space = SearchSpace.model_validate({"space_groups": [227], "n_atoms": [1, 1]})
    codes = decode_codes(network, torch.randn(3, 6), Grammar(space))
    assert [code.code for code in codes] == [FailureCode.DECODE_DEAD_END] * 3


@pytest.mark.parametrize("n", [0, 1])
def test_few_latents(network, n):
    assert len(decode_codes(network, torch.randn(n, 6), Grammar(None))) == n
