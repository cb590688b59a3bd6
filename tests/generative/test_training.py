"""A tiny network on two dozen crystals: the whole way from a table to a bundle that loads."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from generative.batches import to_batch
from generative.bundle import Provenance, trained_with, write_bundle
from generative.datasets import Codes, encode_set
from generative.loading import load_crystals
from generative.models.wyckoff_vae import HELD_OUT, WyckoffVae, bundled_weights
from generative.representations.wyckoff import crystal_of
from generative.training import Best, Trainer, batches, element_features, encode_codes, whiten
from generative.training_set import TrainingSet, divide, read_labels, refused_rows
from generative.training_settings import TrainingSettings

SETTINGS = TrainingSettings(
    latent=6,
    width=16,
    heads=2,
    layers=1,
    epochs=2,
    batch=8,
    max_atoms=30,
    held_out=0.2,
    prior_steps=4,
    denoiser=8,
)


@pytest.fixture(scope="module")
def data(table) -> TrainingSet:
    crystals = load_crystals(table)
    encoded = encode_set(crystals, symprec_ang=SETTINGS.symprec_ang)
    refused = refused_rows(crystals, encoded, SETTINGS.max_atoms)
    return divide(crystals, encoded, read_labels(crystals), refused, SETTINGS)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> tuple[Trainer, Path]:
    out = tmp_path_factory.mktemp("vae")
    trainer = Trainer(SETTINGS, data.train, data.train_labels, out)
    whiten(trainer.run(), data.train)
    provenance = Provenance("table.csv", "0" * 64, "Our own laboratory", None, ("few crystals",), 1.0)
    write_bundle(out, trainer.network, SETTINGS, data, provenance, samples=20)
    return trainer, out


def test_batches_hold_every_crystal_once(data):
    codes = data.train
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
    train, labels = data.train, data.train_labels
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
    train, labels = data.train, data.train_labels
    batch, fresh = to_batch(train, torch.device("cpu")), Trainer(SETTINGS, train, labels, tmp_path).network
    losses = []
    for network in (fresh, trained[0].network):
        with torch.no_grad():
            parts = network.eval().decoder.reconstruction(network.encoder(batch)[0], batch)
        losses.append(float(torch.stack(list(parts.values())).sum(0).mean()))
    assert losses[1] < losses[0]


def test_whitened_training_latents_are_standard(data, trained):
    train, (trainer, out) = data.train, trained
    generator = WyckoffVae.load(out, torch.device("cpu"))
    z = generator._whiten(encode_codes(trainer.network, train))
    assert z.mean(0).abs().max() < 1e-6
    assert torch.allclose(torch.cov(z.T).diagonal(), torch.ones(6, dtype=torch.float64), atol=0.05)


def test_the_bundle_loads_and_encodes(data, trained):
    train, (_, out) = data.train, trained
    generator = WyckoffVae.load(out, torch.device("cpu"))
    z = generator.encode([crystal_of(train.code(0))])[0]
    assert isinstance(z, torch.Tensor)
    assert z.shape == (6,)
    expected = generator._whiten(encode_codes(trained[0].network, train.take(np.array([0]))))[0]
    assert torch.allclose(z, expected, atol=1e-3)


def test_the_card_states_data_split_figures_and_licence(trained):
    card = json.loads((trained[1] / "card.json").read_text())
    assert card["data"] == "table.csv"
    assert card["data_sha256"] == "0" * 64
    assert "20% of reduced formulas held out" in card["split"]
    assert card["refused"] == {
        "rows": 3,
        "reasons": {"no CIF": 1, "CIF cannot be read": 1, "partial occupancies or dummy species": 1},
    }
    assert card["warnings"] == ["few crystals"]
    assert card["crystals"]["held_out"] == card["held_out_reconstruction"]["n"]
    assert card["prior_samples"]["n"] == 20
    assert 0 <= card["held_out_codes"]["space_group"] <= 1
    assert math.isfinite(card["held_out_property_error"]["formation_energy_ev_atom_mae"])
    assert card["licence"] == "unstated by the user"
    assert card["attribution"] == "Our own laboratory"
    assert card["version"] == WyckoffVae.load(trained[1], torch.device("cpu")).version


def test_the_bundle_carries_crystals_that_were_held_out(data, trained):
    sample = Codes.load(trained[1] / HELD_OUT)
    for name in Codes.__dataclass_fields__:
        assert np.array_equal(getattr(sample, name), getattr(data.held, name))  # fewer than 300, so all of them


def test_the_bundled_weights_carry_300_held_out_crystals():
    sample = Codes.load(bundled_weights() / HELD_OUT)
    assert len(sample) == 300
    assert sample.n_atoms().max() <= 20
    assert (bundled_weights() / HELD_OUT).stat().st_size < 60_000


def test_the_settings_stand_beside_the_weights(trained):
    assert trained_with(trained[1]) == SETTINGS


def test_a_generator_without_labels_predicts_nothing(data, tmp_path):
    unlabelled = replace(
        data, train_labels=data.train_labels[:, :0], held_labels=data.held_labels[:, :0], property_names=()
    )
    trainer = Trainer(SETTINGS, data.train, unlabelled.train_labels, tmp_path)
    whiten(trainer.run(), data.train)
    write_bundle(tmp_path, trainer.network, SETTINGS, unlabelled, Provenance("x", "0", None, None, (), 1.0), samples=5)
    generator = WyckoffVae.load(tmp_path, torch.device("cpu"))
    assert generator.property_names == ()
    assert generator.predict(torch.zeros(3, 6, dtype=torch.float64)) == {}
    assert json.loads((tmp_path / "card.json").read_text())["held_out_property_error"] == {}


def test_settings_decide_the_shapes(data, tmp_path):
    train, labels = data.train, data.train_labels
    wide = Trainer(replace(SETTINGS, width=32), train, labels, tmp_path).network
    assert wide.decoder.order.embedding_dim == 32


def test_training_stops_when_the_watched_crystals_gain_no_more(data, tmp_path, capsys):
    still = replace(SETTINGS, learning_rate=0.0, epochs=20, patience=2)
    trainer = Trainer(still, data.train, data.train_labels, tmp_path, watched=data.held)
    trainer.run()
    assert (trainer.best.epoch, trainer.epoch) == (1, 3)
    assert "epoch 1 reconstructed the watched crystals best" in capsys.readouterr().err


def test_the_best_epochs_weights_end_a_run(data, tmp_path):
    trainer = Trainer(replace(SETTINGS, epochs=3), data.train, data.train_labels, tmp_path, watched=data.held)
    before = {name: each.clone() for name, each in trainer.network.state_dict().items()}
    trainer.best = Best(0, -math.inf, before)  # no epoch can do better
    network = trainer.run()
    assert trainer.epoch == 3
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
