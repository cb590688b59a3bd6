"""What every generator kind must do, with its default parameters. A new kind inherits these tests by existing."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch import Tensor

from campaigns.kinds import available_kinds, build_kind
from campaigns.records import FailureCode
from campaigns.spec import KindSpec, SearchSpace
from generative.protocols import DecodeFailure, EncodeFailure, Generator

ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
FLUORITE = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.46), ["Ca", "F"], [[0, 0, 0], [0.25] * 3])
DISORDERED = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5] * 3])

each_kind = pytest.mark.parametrize("kind", available_kinds("generator"))


@cache
def _build(kind: str) -> Generator:
    return build_kind("generator", KindSpec(kind=kind), torch.device("cpu"), "generator")


def _latents(generator: Generator, n: int = 12) -> Tensor:
    return torch.randn(n, generator.latent_dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@each_kind
def test_says_what_it_is(kind):
    generator = _build(kind)
    assert 1 <= generator.latent_dim <= 64
    assert kind in generator.version
    rebuilt = build_kind("generator", KindSpec(kind=kind), torch.device("cpu"), "generator")
    assert rebuilt.version == generator.version


@each_kind
def test_latents_are_float64_on_the_cpu_in_order(kind):
    generator = _build(kind)
    first, failed, second = generator.encode([ROCK_SALT, DISORDERED, FLUORITE])
    assert isinstance(failed, EncodeFailure)
    assert failed.code in (FailureCode.ENCODE_UNSUPPORTED, FailureCode.ENCODE_NO_SYMMETRY)
    assert failed.message
    for z in (first, second):
        assert isinstance(z, Tensor)
        assert z.shape == (generator.latent_dim,)
        assert z.dtype == torch.float64
        assert z.device.type == "cpu"
        assert not z.requires_grad
        assert torch.isfinite(z).all()
    assert torch.equal(first, generator.encode([ROCK_SALT, DISORDERED, FLUORITE])[0])


@each_kind
def test_decoding_keeps_length_and_is_deterministic(kind):
    generator = _build(kind)
    z = _latents(generator)
    first, again = (generator.decode(z, within=None, seed=7) for _ in range(2))
    assert len(first) == len(z)
    assert all(isinstance(x, Structure | DecodeFailure) for x in first)
    assert first == again


@each_kind
def test_decoding_does_not_depend_on_the_neighbours(kind):
    generator = _build(kind)
    z = _latents(generator)
    together, alone = generator.decode(z, within=None, seed=7), generator.decode(z[4:5], within=None, seed=7)
    assert isinstance(together[4], Structure)
    assert together[4].composition == alone[0].composition


@each_kind
def test_a_latent_survives_its_crystal(kind):
    """What decodes must encode again, near enough to decode to the same formula in most cases."""
    generator = _build(kind)
    crystals = [x for x in generator.decode(_latents(generator, 24), within=None, seed=0) if isinstance(x, Structure)]
    latents = generator.encode(crystals)
    usable = [(x, z) for x, z in zip(crystals, latents, strict=True) if isinstance(z, Tensor)]
    assert len(usable) >= 0.8 * len(crystals)
    again = generator.decode(torch.stack([z for _, z in usable]), within=None, seed=0)
    kept = sum(
        isinstance(y, Structure) and y.composition.reduced_formula == x.composition.reduced_formula
        for (x, _), y in zip(usable, again, strict=True)
    )
    assert kept >= 0.3 * len(usable)


@each_kind
def test_the_space_is_a_mask(kind):
    generator = _build(kind)
    words = {"elements": {"include": ["Ti", "N", "O"], "require": ["O"]}, "n_elements": 2, "n_atoms": [3, 9]}
    decoded = generator.decode(_latents(generator), within=SearchSpace.model_validate(words), seed=0)
    crystals = [x for x in decoded if isinstance(x, Structure)]
    assert len(crystals) >= 0.9 * len(decoded)
    for x in crystals:
        symbols = {element.symbol for element in x.composition.elements}
        assert symbols in ({"Ti", "O"}, {"N", "O"})
        assert 3 <= len(x) <= 9


@each_kind
def test_an_impossible_space_is_a_failure_for_every_latent(kind):
    generator = _build(kind)
    space = SearchSpace.model_validate({"space_groups": [227], "n_atoms": [1, 1]})
    decoded = generator.decode(_latents(generator, 3), within=space, seed=0)
    assert [x.code for x in decoded if isinstance(x, DecodeFailure)] == [FailureCode.DECODE_DEAD_END] * 3


@each_kind
def test_log_prior_is_finite_and_falls_away_from_the_data(kind):
    generator = _build(kind)
    z = _latents(generator)
    density = generator.log_prior(z)
    assert density.shape == (len(z),)
    assert torch.isfinite(density).all()
    assert (generator.log_prior(50 * z) < density).all()


@each_kind
def test_properties_are_finite_float64(kind):
    generator = _build(kind)
    z = _latents(generator)
    predicted = generator.predict(z)
    assert "formation_energy_ev_atom" in predicted
    for values in predicted.values():
        assert values.shape == (len(z),)
        assert values.dtype == torch.float64
        assert torch.isfinite(values).all()


@each_kind
def test_nothing_in_nothing_out(kind):
    generator = _build(kind)
    assert generator.encode([]) == []
    assert generator.decode(_latents(generator, 0), within=None, seed=0) == []
