"""`optimize train` as a person uses it: resumed, refused, done."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from campaigns.errors import UserError
from campaigns.kinds import build_kind
from campaigns.spec import KindSpec
from generative.bundle import trained_with
from generative.protocols import GeneratorContext
from generative.training import CHECKPOINT
from generative.training_run import changed_settings, train_generator
from generative.training_settings import TrainingSettings

OPTIMIZE = Path(sys.executable).with_name("optimize")
SETTINGS = TrainingSettings(
    latent=6,
    width=16,
    heads=2,
    layers=1,
    epochs=9,
    batch=2,
    max_atoms=30,
    held_out=0.2,
    prior_steps=4,
    denoiser=8,
)


def options(settings: TrainingSettings) -> list[str]:
    rest = ("width", "heads", "layers", "batch", "held_out", "prior_steps", "denoiser")
    pairs = [word for name in rest for word in ("--set", f"{name}={getattr(settings, name)}")]
    return ["--epochs", str(settings.epochs), "--latent", str(settings.latent), "--max-atoms", "30", *pairs]


@pytest.mark.slow
def test_ctrl_c_and_the_same_command_again_end_like_one_run(table, tmp_path):
    command = [OPTIMIZE, "train", "--data", table, "--out", tmp_path / "a", "--threads", "1", *options(SETTINGS)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert started.stderr is not None
    said = ""
    while "epoch 2/9" not in said:
        said = started.stderr.readline()
        assert said, "the run ended before its second epoch"
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=120)
    assert (started.returncode, out) == (3, "")
    last = f"optimize: {tmp_path / 'a'}: stopped; the same command goes on from the last whole epoch."
    assert err.splitlines()[-1] == last
    assert "Traceback" not in err
    assert not (tmp_path / "a" / "card.json").exists()
    assert 2 <= torch.load(tmp_path / "a" / CHECKPOINT, weights_only=True)["epoch"] < 9
    cards = [json.loads(train_generator(table, tmp_path / name, SETTINGS).read_text()) for name in ("a", "b")]
    assert cards[0]["version"] == cards[1]["version"]


@pytest.fixture(scope="module")
def done(table, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "vae"
    settings = replace(SETTINGS, epochs=1)
    return train_generator(table, out, settings, attribution="Our laboratory", licence="CC0").parent


def test_the_folder_serves_as_a_campaigns_generator(done):
    spec = KindSpec.model_validate({"kind": "wyckoff_vae", "weights": done.name})  # relative to the campaign file
    context = GeneratorContext(torch.device("cpu"), str(done.parent))
    generator = build_kind("generator", spec, context, "generator")
    assert generator.latent_dim == 6
    assert list(generator.predict(torch.zeros(2, 6, dtype=torch.float64))) == ["formation_energy_ev_atom"]
    assert len(generator.held_out()) > 0


def test_card_and_report_tell_what_happened(done):
    card = json.loads((done / "card.json").read_text())
    assert (card["attribution"], card["licence"]) == ("Our laboratory", "CC0")
    assert card["warnings"][0].startswith("only ")
    assert card["refused"]["rows"] == 3
    refused = pd.read_csv(done / "refused_rows.csv")
    assert refused["reason"].tolist()[0] == "no CIF"
    assert trained_with(done) == replace(SETTINGS, epochs=1)


def test_weights_to_begin_with_may_have_seen_what_is_held_out(done, table, tmp_path):
    settings = replace(SETTINGS, epochs=1)
    card = json.loads(train_generator(table, tmp_path / "second", settings, start=done).read_text())
    first = json.loads((done / "card.json").read_text())["version"]
    assert f"began with {first}, which may have been trained on crystals held out here" in card["warnings"]
    with pytest.raises(UserError, match="holds a run with start wyckoff_vae-"):
        train_generator(table, tmp_path / "second", settings)


def test_a_finished_run_is_left_alone(done, table, capsys):
    before = (done / "model.safetensors").stat().st_mtime_ns
    train_generator(table, done, replace(SETTINGS, epochs=1))
    assert "trained already" in capsys.readouterr().err
    assert (done / "model.safetensors").stat().st_mtime_ns == before


def test_other_settings_data_or_labels_are_refused(done, table, tmp_path):
    settings = replace(SETTINGS, epochs=1)
    with pytest.raises(UserError, match=r"holds a run with seed 0, not 1\. Go on with what it began with"):
        train_generator(table, done, replace(settings, seed=1))
    with pytest.raises(UserError, match="holds a run with other labels"):
        train_generator(table, done, settings, labels=["formation_energy_per_atom=energy_ev_atom"])
    pd.read_csv(table)[1:].to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(UserError, match="holds a run with other crystals"):
        train_generator(tmp_path / "other.csv", done, settings)


def test_a_folder_with_something_else_is_left_alone(table, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="is not empty and holds no training run"):
        train_generator(table, tmp_path, SETTINGS)
    with pytest.raises(UserError, match="is a file"):
        train_generator(table, tmp_path / "thesis.tex", SETTINGS)


def test_a_set_found_too_small_can_be_mended_in_the_same_folder(table, tmp_path, monkeypatch):
    rows = pd.read_csv(table)
    rows[-8:].to_csv(tmp_path / "few.csv", index=False)
    with pytest.raises(UserError, match="5 usable crystals"):
        train_generator(tmp_path / "few.csv", tmp_path / "out", replace(SETTINGS, epochs=1))
    assert len(pd.read_csv(tmp_path / "out" / "refused_rows.csv")) == 3
    monkeypatch.setattr("generative.training_run.Trainer", None)  # training would begin
    with pytest.raises(TypeError):
        train_generator(table, tmp_path / "out", replace(SETTINGS, epochs=1))


def test_settings_are_changed_by_name():
    changed = changed_settings({"epochs": 3, "latent": None}, ["width=64", "learning_rate=0.01"])
    assert changed == replace(TrainingSettings(), epochs=3, width=64, learning_rate=0.01)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("widht=64", "--set: unknown 'widht'; choose one of .*Did you mean 'width'"),
        ("width=wide", "--set width=wide: 'wide' is no int"),
        ("width=30", "heads: 4 does not divide the width, 30"),
        ("batch=0", "batch: 0 is below 1"),
        ("held_out=1", "held_out: 1.0 is no share"),
        ("symprec_ang=0", "symprec_ang: 0.0 is not above 0"),
    ],
)
def test_impossible_settings_are_refused(pair, message):
    with pytest.raises(UserError, match=message):
        changed_settings({}, [pair])


def test_without_epochs_the_prior_alone_is_fitted(done, table, tmp_path):
    settings = replace(SETTINGS, epochs=0)
    card = json.loads(train_generator(table, tmp_path / "prior", settings, start=done, plausible=table).read_text())
    assert card["prior"]["source"] == table.name
    assert card["prior"]["crystals"] > 0
    before, after = (load_file(folder / "model.safetensors") for folder in (done, tmp_path / "prior"))
    changed = {name for name, each in after.items() if not torch.equal(each, before[name])}
    assert {name.split(".")[0] for name in changed} == {"blurred"}
    with pytest.raises(UserError, match="epochs: 0 keep weights"):
        train_generator(table, tmp_path / "none", settings)
    with pytest.raises(UserError, match="holds a run with other plausible crystals"):
        train_generator(table, tmp_path / "prior", settings, start=done)
