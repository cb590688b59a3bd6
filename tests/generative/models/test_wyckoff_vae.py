"""The bundled weights."""

from __future__ import annotations

import hashlib
import json
import math
import shutil

import numpy as np
import pytest
import torch
from prototypes import PROTOTYPES, perovskite
from pymatgen.core import Lattice, Structure

from campaigns.errors import SpecError
from campaigns.kinds import build_kind
from campaigns.records import FailureCode
from campaigns.search_space import SearchSpace
from campaigns.spec import KindSpec
from generative.models.wyckoff_vae import Params, WyckoffVae, build, bundled_weights
from generative.protocols import EncodeFailure
from generative.representations.wyckoff import fingerprint

DISORDERED = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5] * 3])
MANY_ORBITS = Structure(Lattice.cubic(9), ["Cu"] * 21, np.random.default_rng(0).random((21, 3)))


@pytest.fixture(scope="module")
def generator() -> WyckoffVae:
    return build(Params())


@pytest.fixture(scope="module")
def z() -> torch.Tensor:
    return torch.randn(40, 64, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_encoding_keeps_length_and_order_around_failures(generator):
    first, last = PROTOTYPES["rock salt"], PROTOTYPES["rutile"]
    mixed = generator.encode([first, DISORDERED, last, MANY_ORBITS, first])
    assert [isinstance(z, torch.Tensor) for z in mixed] == [True, False, True, False, True]
    alone = generator.encode([first])[0]
    assert torch.allclose(mixed[0], alone, atol=1e-4)
    assert torch.allclose(mixed[0], mixed[4], atol=1e-5)
    assert not torch.allclose(mixed[0], mixed[2], atol=0.1)


def test_what_cannot_be_encoded_says_why(generator):
    disordered, many = generator.encode([DISORDERED, MANY_ORBITS])
    assert isinstance(disordered, EncodeFailure)
    assert isinstance(many, EncodeFailure)
    assert {disordered.code, many.code} == {FailureCode.ENCODE_UNSUPPORTED}
    assert "partial occupancies" in disordered.message
    assert "21 orbits exceed the model's 20" in many.message


def test_latents_do_not_depend_on_the_setting(generator):
    x = PROTOTYPES["tilted perovskite"]
    shifted = x.copy().translate_sites(list(range(len(x))), [0.31, 0.17, 0.42])
    a, b, c = generator.encode([x, shifted, x.make_supercell([2, 1, 1], in_place=False)])
    assert torch.allclose(a, b, atol=1e-3)
    assert torch.allclose(a, c, atol=1e-3)


def test_common_prototypes_come_back(generator):
    names = ("rock salt", "zinc blende", "fluorite", "perovskite", "rutile")
    latents = generator.encode([PROTOTYPES[name] for name in names])
    decoded = generator.decode(torch.stack(latents), within=None, seed=0)
    same = [fingerprint(x) == fingerprint(PROTOTYPES[n]) for x, n in zip(decoded, names, strict=True)]
    assert sum(same) >= 4


def test_decoding_stays_inside_the_space(generator, z):
    space = SearchSpace.model_validate(
        {"elements": {"include": ["Mg", "Al", "Si", "O"], "require": ["O"]}, "n_elements": [2, 3], "n_atoms": [2, 12]}
    )
    for x in generator.decode(z, within=space, seed=0):
        assert isinstance(x, Structure)
        symbols = {s.symbol for s in x.composition.elements}
        assert "O" in symbols
        assert symbols <= {"Mg", "Al", "Si", "O"}
        assert len(symbols) in (2, 3)
        assert 2 <= len(x) <= 12


def test_a_formula_is_kept(generator, z):
    space = SearchSpace.model_validate({"formula": "MgAl2O4", "n_atoms": [7, 14]})
    found = generator.decode(z, within=space, seed=0)
    assert {x.composition.reduced_formula for x in found} == {"MgAl2O4"}


def test_log_prior_is_the_standard_normal(generator):
    z = torch.stack([torch.zeros(64), torch.ones(64)]).double()
    density = generator.log_prior(z)
    assert density.tolist() == pytest.approx([-32 * math.log(2 * math.pi), -32 * math.log(2 * math.pi) - 32])


def test_formation_energies_are_in_ev_per_atom(generator):
    crystals = [PROTOTYPES["rock salt"], perovskite("Sr", "Ti"), PROTOTYPES["zinc blende"]]
    predicted = generator.predict(torch.stack(generator.encode(crystals)))["formation_energy_ev_atom"]
    # Materials Project: NaCl -2.1, SrTiO3 -3.5, ZnS -1.0 eV/atom
    assert predicted.tolist() == pytest.approx([-2.1, -3.5, -1.0], abs=1.0)
    assert predicted[1] < predicted[0] < predicted[2]


def test_version_is_the_hash_of_the_weights(generator):
    digest = hashlib.sha256((bundled_weights() / "model.safetensors").read_bytes()).hexdigest()
    assert generator.version == f"wyckoff_vae-{digest[:12]}"


def test_the_card_belongs_to_the_weights(generator):
    card = json.loads((bundled_weights() / "card.json").read_text())
    assert card["version"] == generator.version
    assert card["held_out_reconstruction"]["n"] >= 500


@pytest.mark.parametrize("missing", ["model.safetensors", "settings.json"])
def test_missing_files_are_named(tmp_path, missing):
    shutil.copytree(bundled_weights(), tmp_path / "weights")
    (tmp_path / "weights" / missing).unlink()
    with pytest.raises(ValueError, match=r"holds no model\.safetensors with settings\.json"):
        build(Params(weights=str(tmp_path / "weights")))


def test_a_wrong_folder_is_a_fault_of_the_campaign_file(tmp_path):
    spec = KindSpec(kind="wyckoff_vae", weights=str(tmp_path))
    with pytest.raises(SpecError, match=r"^generator: weights: .* use `bundled`"):
        build_kind("generator", spec, None, "generator")
