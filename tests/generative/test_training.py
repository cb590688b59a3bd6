"""A tiny network on two dozen crystals: the whole way from a table to a bundle that loads."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from campaigns.errors import UserError
from generative.bundle import HELD_OUT, held_out_sample, write_bundle
from generative.datasets import Codes
from generative.models.wyckoff_vae import WyckoffVae, bundled_weights
from generative.networks import to_batch
from generative.representations.wyckoff import crystal_of
from generative.training import (
    PROPERTY_COLUMNS,
    Trainer,
    TrainingSettings,
    batches,
    element_features,
    encode_codes,
    prepare,
    split_by_formula,
    whiten,
)

SETTINGS = TrainingSettings(latent=6, width=16, heads=2, layers=1, epochs=2, batch=8, max_atoms=30, held_out=0.2)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Several threads add gradients up in whatever order they finish, and the last bits with them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(table):
    return prepare(table, SETTINGS, None, workers=1)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> tuple[Trainer, Path]:
    train, held, labels, held_labels, _ = data
    out = tmp_path_factory.mktemp("vae")
    trainer = Trainer(SETTINGS, train, labels, out)
    whiten(trainer.run(), train)
    names = list(PROPERTY_COLUMNS)
    write_bundle(
        out, trainer.network, SETTINGS, train, held, held_labels, names, data="table.csv", seconds=1.0, samples=20
    )
    return trainer, out


def test_no_formula_is_on_both_sides(data):
    train, held, labels, held_labels, refused = data
    assert len(train) + len(held) + len(refused) <= 24
    assert len(held) > 0
    assert labels.shape == (len(train), 1)
    assert held_labels.shape == (len(held), 1)
    formulas = [{crystal_of(c.code(i)).composition.reduced_formula for i in range(len(c))} for c in (train, held)]
    assert not formulas[0] & formulas[1]


def test_labels_belong_to_their_rows(data):
    train, _, labels, _, _ = data
    np.testing.assert_allclose(labels[:, 0], -1.0 + 0.1 * train.row)


def test_the_split_depends_on_the_seed_alone():
    formulas = pd.Series(["NaCl", "NaCl", *[f"A{n}" for n in range(20)]])
    first = split_by_formula(formulas, 0.2, 1)
    assert np.array_equal(first, split_by_formula(formulas, 0.2, 1))
    assert not np.array_equal(first, split_by_formula(formulas, 0.2, 2))
    assert first[0] == first[1]


def test_batches_hold_every_crystal_once(data):
    codes = data[0]
    parts = list(batches(codes, 4, np.random.default_rng(0)))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(codes)))
    assert max(map(len, parts)) <= 4


def test_element_features_are_standardised():
    features = element_features()
    assert features.shape[0] == 104
    assert torch.isfinite(features).all()
    assert features[0].abs().max() == 0
    assert features[1:90].mean(0).abs().max() < 0.5


class _Stopped(Exception):
    pass


def test_a_run_resumed_after_a_stop_ends_with_the_same_weights(data, trained, tmp_path, monkeypatch):
    train, _, labels, _, _ = data
    epoch = Trainer._one_epoch

    def stop_before_the_second(self: Trainer, codes) -> None:
        if self.epoch == 1:
            raise _Stopped
        epoch(self, codes)

    monkeypatch.setattr(Trainer, "_one_epoch", stop_before_the_second)
    with pytest.raises(_Stopped):
        Trainer(SETTINGS, train, labels, tmp_path).run()
    monkeypatch.undo()
    resumed = Trainer(SETTINGS, train, labels, tmp_path)
    assert resumed.epoch == 1
    network = resumed.run()
    whiten(network, train)
    expected = trained[0].network.state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_training_lowers_the_loss(data, trained, tmp_path):
    train, _, labels, _, _ = data
    batch, fresh = to_batch(train, torch.device("cpu")), Trainer(SETTINGS, train, labels, tmp_path).network
    losses = []
    for network in (fresh, trained[0].network):
        with torch.no_grad():
            parts = network.eval().reconstruction(network.encoder(batch)[0], batch)
        losses.append(float(torch.stack(list(parts.values())).sum(0).mean()))
    assert losses[1] < losses[0]


def test_whitened_training_latents_are_standard(data, trained):
    train, (trainer, out) = data[0], trained
    generator = WyckoffVae.load(out, torch.device("cpu"))
    z = generator._whiten(encode_codes(trainer.network, train))
    assert z.mean(0).abs().max() < 1e-6
    assert torch.allclose(torch.cov(z.T).diagonal(), torch.ones(6, dtype=torch.float64), atol=0.05)


def test_the_bundle_loads_and_encodes(data, trained):
    train, (_, out) = data[0], trained
    generator = WyckoffVae.load(out, torch.device("cpu"))
    z = generator.encode([crystal_of(train.code(0))])[0]
    assert isinstance(z, torch.Tensor)
    assert z.shape == (6,)
    expected = generator._whiten(encode_codes(trained[0].network, train.take(np.array([0]))))[0]
    assert torch.allclose(z, expected, atol=1e-3)


def test_the_card_states_data_split_figures_and_licence(trained):
    card = json.loads((trained[1] / "card.json").read_text())
    assert card["data"] == "table.csv"
    assert "20% of reduced formulas held out" in card["split"]
    assert card["crystals"]["held_out"] == card["held_out_reconstruction"]["n"]
    assert card["prior_samples"]["n"] == 20
    assert 0 <= card["held_out_codes"]["space_group"] <= 1
    assert math.isfinite(card["held_out_property_error"]["formation_energy_ev_atom_mae"])
    assert "CC BY 4.0" in card["licence"]
    assert "Materials Project" in card["attribution"]
    assert card["version"] == WyckoffVae.load(trained[1], torch.device("cpu")).version


def test_the_bundle_carries_crystals_that_were_held_out(data, trained):
    held, sample = data[1], held_out_sample(trained[1])
    for name in Codes.__dataclass_fields__:
        assert np.array_equal(getattr(sample, name), getattr(held, name))  # fewer than 300, so all of them


def test_the_bundled_weights_carry_300_held_out_crystals():
    sample = held_out_sample(bundled_weights())
    assert len(sample) == 300
    assert sample.n_atoms().max() <= 20
    assert (bundled_weights() / HELD_OUT).stat().st_size < 60_000


def test_a_bundle_without_held_out_crystals_says_so(tmp_path):
    with pytest.raises(UserError, match=r"holds no held_out\.npz"):
        held_out_sample(tmp_path)


def test_settings_decide_the_shapes(data, tmp_path):
    train, _, labels, _, _ = data
    wide = Trainer(replace(SETTINGS, width=32), train, labels, tmp_path).network
    assert wide.decoder.order.embedding_dim == 32
