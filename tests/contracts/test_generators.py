"""What every generator kind must do, with its default parameters. A new kind inherits these tests by existing."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from torch import Tensor

from campaigns.kinds import build_kind
from campaigns.records import FailureCode
from campaigns.search_space import SearchSpace
from campaigns.spec import KindSpec
from generative.protocols import Alignment, DecodeFailure, EncodeFailure, Generator, GeneratorContext
from optimizer.screening import screen

ROLE = "generator"
SMALL = {"wyckoff_vae": {"refine_steps": 2}}
"""Parameters that make a kind's retraining a matter of a second, where it has such."""

ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
FLUORITE = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.46), ["Ca", "F"], [[0, 0, 0], [0.25] * 3])

CUBE = Lattice.cubic(4)
UNUSABLE = {
    "disordered": Structure(CUBE, [{"Na": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5] * 3]),
    "dummy": Structure(CUBE, ["X"], [[0, 0, 0]]),
    "empty": Structure(CUBE, [], []),
    "no number": Structure(CUBE, ["Na", "Cl"], [[0, 0, 0], [np.nan, 0.5, 0.5]]),
}
DISORDERED = UNUSABLE["disordered"]
SPACES = {
    "elements and counts": {
        "elements": {"include": ["Ti", "N", "O"], "require": ["O"]},
        "n_elements": 2,
        "n_atoms": [3, 9],
    },
    "space groups": {"space_groups": [62, 139, 194]},
    "formula": {"formula": "CaTiO3", "n_atoms": [5, 20]},
}


@cache
def _shared(kind: str, device: str) -> Generator:
    return _build(kind, device)


def _build(kind: str, device: str = "cpu") -> Generator:
    return build_kind(ROLE, KindSpec(kind=kind, **SMALL.get(kind, {})), GeneratorContext(torch.device(device)), ROLE)


def _latents(generator: Generator, n: int = 12) -> Tensor:
    return torch.randn(n, generator.latent_dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _crystals(generator: Generator, n: int = 12) -> list[Structure]:
    return [x for x in generator.decode(_latents(generator, n), within=None, seed=0) if isinstance(x, Structure)]


def _check_latent(z: object, generator: Generator) -> None:
    assert isinstance(z, Tensor)
    assert z.shape == (generator.latent_dim,)
    assert z.dtype == torch.float64
    assert z.device.type == "cpu"
    assert not z.requires_grad
    assert torch.isfinite(z).all()


def _same(x: object, y: object) -> bool:
    return (
        isinstance(x, Structure)
        and isinstance(y, Structure)
        and StructureMatcher().fit(x, y)
        and abs(y.volume / len(y) / (x.volume / len(x)) - 1) < 0.15
    )


def _assert_same_answers(left: Generator, right: Generator) -> None:
    z = _latents(left)
    assert right.latent_dim == left.latent_dim
    assert right.decode(z, within=None, seed=0) == left.decode(z, within=None, seed=0)
    for a, b in zip(left.encode([ROCK_SALT, FLUORITE]), right.encode([ROCK_SALT, FLUORITE]), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(left.log_prior(z), right.log_prior(z))
    for name, values in left.predict(z).items():
        assert torch.equal(values, right.predict(z)[name])


def test_says_what_it_is_and_built_again_is_the_same(kind, device):
    generator, again = _shared(kind, device), _build(kind, device)
    assert 1 <= generator.latent_dim <= 64
    assert kind in generator.version
    assert again.version == generator.version
    _assert_same_answers(generator, again)


# -- crystals to latents


def test_latents_are_float64_on_the_cpu_in_order(kind, device):
    generator = _shared(kind, device)
    first, failed, second = generator.encode([ROCK_SALT, DISORDERED, FLUORITE])
    assert isinstance(failed, EncodeFailure)
    for z in (first, second):
        _check_latent(z, generator)
    last, _, begin = generator.encode([FLUORITE, DISORDERED, ROCK_SALT])
    assert torch.allclose(begin, first, atol=1e-4)
    assert torch.allclose(last, second, atol=1e-4)
    assert not torch.allclose(first, second, atol=1e-2)


@pytest.mark.parametrize("unusable", UNUSABLE)
def test_encoding_failures_have_a_code_and_a_message(kind, unusable):
    (failure,) = _shared(kind, "cpu").encode([UNUSABLE[unusable]])
    assert isinstance(failure, EncodeFailure)
    assert failure.code in (FailureCode.ENCODE_UNSUPPORTED, FailureCode.ENCODE_NO_SYMMETRY)
    assert failure.message


def test_encoding_is_deterministic(kind, device, disturb):
    latents = []
    for number in (1, 2):
        disturb(number)
        latents.append(torch.stack(_shared(kind, device).encode([ROCK_SALT, FLUORITE])))
    assert torch.equal(*latents)


# -- latents to crystals


def test_decoding_keeps_length_and_is_deterministic(kind, device, disturb):
    generator = _shared(kind, device)
    z, answers = _latents(generator), []
    for number in (1, 2):
        disturb(number)
        answers.append(generator.decode(z, within=None, seed=7))
    assert len(answers[0]) == len(z)
    assert all(isinstance(x, Structure | DecodeFailure) for x in answers[0])
    assert answers[0] == answers[1]
    assert torch.equal(z, _latents(generator))


def test_decoding_does_not_depend_on_the_neighbours(kind, device):
    generator = _shared(kind, device)
    z = _latents(generator)
    together, alone = generator.decode(z, within=None, seed=7), generator.decode(z[4:5], within=None, seed=7)
    assert isinstance(together[4], Structure)
    assert together[4].composition == alone[0].composition


def test_relatives_are_other_crystals_of_the_space_and_follow_from_the_seed(kind, device):
    generator = _shared(kind, device)
    space = SearchSpace.model_validate(
        {"elements": {"include": ["Li", "Na", "K", "O", "S", "Se"]}, "n_elements": [1, 3]}
    )
    z = _latents(generator, 24)
    one, again, other = (generator.relatives(z, within=space, seed=seed) for seed in (1, 1, 2))
    assert one.shape == z.shape
    assert one.dtype == torch.float64
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    pairs = zip(generator.decode(z, within=space, seed=0), generator.decode(one, within=space, seed=0), strict=True)
    crystals = [(a, b) for a, b in pairs if isinstance(a, Structure) and isinstance(b, Structure)]
    assert len(crystals) >= 20
    changed = [b for a, b in crystals if a.composition != b.composition]
    assert len(changed) > len(crystals) / 2
    assert all({e.symbol for e in b.composition.elements} <= space.elements.allowed for b in changed)
    assert generator.relatives(z[:0], within=space, seed=0).shape == (0, z.shape[1])


def test_above_zero_temperature_decisions_are_drawn_by_the_seed(kind, device):
    generator, space = (
        _shared(kind, device),
        SearchSpace.model_validate({"elements": {"include": ["Li", "Na", "O", "S", "Ti"]}}),
    )
    z = _latents(generator, 24)
    one, again, other = (generator.decode(z, within=space, seed=seed, temperature=1.0) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert one != generator.decode(z, within=space, seed=1)
    drawn = [x for x in one if isinstance(x, Structure)]
    assert {element.symbol for x in drawn for element in x.composition.elements} <= {"Li", "Na", "O", "S", "Ti"}


def test_what_decodes_is_a_plain_crystal(kind, device):
    crystals = _crystals(_shared(kind, device), 24)
    assert len(crystals) >= 20
    for x in crystals:
        assert x.is_ordered
        assert not x.site_properties
        assert x.volume > 0
        assert np.isfinite(x.lattice.matrix).all()
        assert np.isfinite(x.frac_coords).all()


def test_a_latent_survives_its_crystal(kind, device):
    """What decodes must encode again, near enough to decode to the same formula in most cases."""
    generator = _shared(kind, device)
    crystals = _crystals(generator, 24)
    latents = generator.encode(crystals)
    usable = [(x, z) for x, z in zip(crystals, latents, strict=True) if isinstance(z, Tensor)]
    assert len(usable) >= 0.8 * len(crystals)
    again = generator.decode(torch.stack([z for _, z in usable]), within=None, seed=0)
    kept = sum(
        isinstance(y, Structure) and y.composition.reduced_formula == x.composition.reduced_formula
        for (x, _), y in zip(usable, again, strict=True)
    )
    assert kept >= 0.3 * len(usable)


@pytest.mark.parametrize("words", SPACES.values(), ids=SPACES)
def test_the_space_is_a_mask(kind, device, words):
    """Elements, formula and counts hold of every crystal; symmetry may come out higher than it was decoded."""
    generator = _shared(kind, device)
    space = SearchSpace.model_validate(words)
    decoded = generator.decode(_latents(generator, 24), within=space, seed=0)
    crystals = [x for x in decoded if isinstance(x, Structure)]
    assert len(crystals) >= 0.9 * len(decoded)
    for x in crystals:
        symbols = {element.symbol for element in x.composition.elements}
        assert space.elements.required <= symbols <= space.elements.allowed
        assert len(symbols) in space.n_elements
        assert len(x) in space.n_atoms
        if space.formula:
            assert x.composition.reduced_composition.get_el_amt_dict() == space.formula_counts
    refused = [screen(x, space) for x in crystals]
    assert sum(r is not None and r.code is FailureCode.OUTSIDE_SPACE for r in refused) <= 0.2 * len(crystals)


def test_an_impossible_space_is_a_failure_for_every_latent(kind, device):
    generator = _shared(kind, device)
    space = SearchSpace.model_validate({"space_groups": [227], "n_atoms": [1, 1]})
    decoded = generator.decode(_latents(generator, 3), within=space, seed=0)
    assert [x.code for x in decoded if isinstance(x, DecodeFailure)] == [FailureCode.DECODE_DEAD_END] * 3
    assert all(x.message for x in decoded)


def test_a_latent_that_is_no_point_fails_alone(kind, device):
    """Beside a latent without numbers and some far outside the data, the others decode as ever."""
    generator = _shared(kind, device)
    z = _latents(generator, 6)
    expected = generator.decode(z, within=None, seed=0)
    z[1], z[3] = torch.nan, 20 * z[3]
    decoded = generator.decode(z, within=None, seed=0)
    assert isinstance(decoded[1], DecodeFailure)
    assert decoded[1].code in (FailureCode.DECODE_INVALID, FailureCode.DECODE_DEAD_END)
    assert decoded[1].message
    if isinstance(decoded[3], Structure):
        assert np.isfinite(decoded[3].lattice.matrix).all()
    for i in (0, 2, 4, 5):
        assert getattr(decoded[i], "composition", None) == getattr(expected[i], "composition", None)


# -- what is known of a latent


def test_log_prior_is_finite_and_falls_away_from_the_data(kind, device):
    generator = _shared(kind, device)
    z = _latents(generator)
    density = generator.log_prior(z)
    assert density.shape == (len(z),)
    assert density.dtype == torch.float64
    assert density.device.type == "cpu"
    assert torch.isfinite(density).all()
    assert (generator.log_prior(50 * z) < density).all()
    assert torch.allclose(generator.log_prior(z.flip(0)), density.flip(0))


def test_properties_are_finite_float64_in_order(kind, device):
    generator = _shared(kind, device)
    z = _latents(generator)
    predicted, reversed_order = generator.predict(z), generator.predict(z.flip(0))
    assert "formation_energy_ev_atom" in predicted
    for name, values in predicted.items():
        assert values.shape == (len(z),)
        assert values.dtype == torch.float64
        assert values.device.type == "cpu"
        assert torch.isfinite(values).all()
        assert torch.allclose(reversed_order[name].flip(0), values, atol=1e-4)


def test_nothing_in_nothing_out(kind, device):
    generator = _shared(kind, device)
    none = _latents(generator, 0)
    assert generator.encode([]) == []
    assert generator.align([], within=None) == []
    assert generator.decode(none, within=None, seed=0) == []
    assert generator.log_prior(none).shape == (0,)
    assert all(values.shape == (0,) for values in generator.predict(none).values())


# -- alignment


def test_an_alignment_that_says_so_decodes_back(kind, device):
    generator = _shared(kind, device)
    crystals = [ROCK_SALT, DISORDERED, *_crystals(generator, 4)]
    aligned = generator.align(crystals, within=None)
    assert [isinstance(each, EncodeFailure) for each in aligned] == [x is DISORDERED for x in crystals]
    assert aligned[1].code is FailureCode.ENCODE_UNSUPPORTED
    assert aligned[1].message
    found = [(x, each) for x, each in zip(crystals, aligned, strict=True) if isinstance(each, Alignment)]
    for x, each in found:
        _check_latent(each.z, generator)
        assert each.steps >= 0
        if each.decodes_back:
            assert _same(x, generator.decode(each.z[None], within=None, seed=0)[0])
    assert sum(each.decodes_back for _, each in found) >= 0.5 * len(found)


def test_an_alignment_claims_nothing_that_the_space_forbids(kind, device):
    """Then the latent is the encoder's mean."""
    generator = _shared(kind, device)
    space = SearchSpace.model_validate({"elements": {"exclude": ["Na"]}})
    (outside,) = generator.align([ROCK_SALT], within=space)
    assert isinstance(outside, Alignment)
    assert not outside.decodes_back
    assert torch.allclose(outside.z, generator.encode([ROCK_SALT])[0], atol=1e-4)


def test_alignment_is_deterministic(kind, device, disturb):
    generator, latents = _shared(kind, device), []
    crystals = _crystals(generator, 2)
    for number in (1, 2):
        disturb(number)
        latents.append(torch.stack([each.z for each in generator.align(crystals, within=None)]))
    assert torch.equal(*latents)


# -- retraining


@cache
def _refined(kind: str, device: str, seed: int) -> Generator:
    return _shared(kind, device).refine([ROCK_SALT, DISORDERED, FLUORITE], [0.7, 0.2, 0.1], seed=seed)


def test_refining_gives_a_new_generator_and_leaves_the_old_one_as_it_was(kind, device):
    before, reference = _shared(kind, device), _build(kind, device)
    after = _refined(kind, device, 0)
    assert before.version == reference.version
    assert before.serialized() == reference.serialized()
    _assert_same_answers(before, reference)
    assert after.version != before.version
    assert kind in after.version
    assert after.latent_dim == before.latent_dim
    assert after.serialized() != before.serialized()


def test_refining_follows_from_its_seed(kind, device, disturb):
    generator, crystals = _shared(kind, device), [ROCK_SALT, FLUORITE]
    refined = []
    for number, seed in ((1, 5), (2, 5), (1, 6)):
        disturb(number)
        refined.append(generator.refine(crystals, [2.0, 1.0], seed=seed))
    assert refined[0].version == refined[1].version
    assert refined[0].version != refined[2].version
    _assert_same_answers(refined[0], refined[1])


def test_a_refined_generator_still_encodes_and_decodes(kind, device):
    generator = _refined(kind, device, 0)
    z = _latents(generator, 24)
    decoded = generator.decode(z, within=None, seed=0)
    assert len(decoded) == len(z)
    assert sum(isinstance(x, Structure) for x in decoded) >= 20
    first, failed, second = generator.encode([ROCK_SALT, DISORDERED, FLUORITE])
    assert isinstance(failed, EncodeFailure)
    for latent in (first, second):
        _check_latent(latent, generator)
    assert torch.isfinite(generator.log_prior(z)).all()


@pytest.mark.parametrize(
    ("crystals", "weights"), [([DISORDERED], [1.0]), ([ROCK_SALT], [0.0]), ([], [])], ids=["unusable", "0", "none"]
)
def test_there_must_be_something_to_learn_from(kind, crystals, weights):
    with pytest.raises(ValueError, match="positive weight"):
        _shared(kind, "cpu").refine(crystals, weights, seed=0)


def test_held_out_crystals_are_crystals_the_generator_takes(kind):
    generator = _shared(kind, "cpu")
    crystals = generator.held_out()
    assert crystals == generator.held_out()
    assert all(isinstance(x, Structure) and x.is_ordered for x in crystals)
    assert all(isinstance(z, Tensor) for z in generator.encode(crystals[:20]))


# -- saving and loading


def test_what_was_serialized_is_restored(kind, device):
    generator = _shared(kind, device)
    assert generator.serialized() == _build(kind, device).serialized()
    same = generator.restored(generator.serialized())
    assert same.version == generator.version
    _assert_same_answers(generator, same)


def test_a_refined_generator_is_restored_from_the_one_it_came_from(kind, device):
    refined = _refined(kind, device, 0)
    restored = _build(kind, device).restored(refined.serialized())
    assert restored.version == refined.version
    assert restored.serialized() == refined.serialized()
    _assert_same_answers(refined, restored)


@pytest.mark.parametrize("data", [b"", b"something else"], ids=["empty", "other"])
def test_bytes_of_something_else_are_refused(kind, data):
    with pytest.raises(ValueError, match=r"\S"):
        _shared(kind, "cpu").restored(data)
