"""From a set of crystals to a folder with a trained generator: one resumable run.

The folder: `run.json` (what was asked for), `codes.npz` (the crystals encoded), `refused_rows.csv`, `checkpoint.pt` of
the autoencoder, `prior_checkpoint.pt` of the decoder of blurred latents, and at the end the bundle, `card.json` last.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

import numpy as np
import torch

from campaigns.errors import LatentoreError, UnknownChoiceError, UserError
from generative.bundle import CARD, Provenance, write_bundle
from generative.datasets import encode_set
from generative.loading import CrystalSet, load_crystals
from generative.prior_training import PRIOR_CHECKPOINT, fit_prior
from generative.progress import console
from generative.training import CHECKPOINT, Trainer, version_of, whiten
from generative.training_set import (
    Labels,
    TrainingSet,
    counted_reasons,
    divide,
    read_labels,
    refused_rows,
    shortcomings,
)
from generative.training_settings import TrainingSettings

RUN, CODES, REFUSED_ROWS = "run.json", "codes.npz", "refused_rows.csv"


class TrainingInterrupted(LatentoreError):
    """Stopped on request; whole epochs are kept and the run can be resumed."""

    exit_code = 3


def train_generator(
    data: Path,
    out: Path,
    settings: TrainingSettings,
    *,
    start: Path | None = None,
    plausible: Path | None = None,
    labels: Sequence[str] = (),
    cif_column: str = "cif",
    attribution: str | None = None,
    licence: str | None = None,
    threads: int = 1,
) -> Path:
    """Train, or go on where the run in `out` stopped; returns the model card's path.

    `start` names a generator's folder whose weights to begin with, where their shapes fit; with 0 epochs they are kept,
    and the prior alone is fitted. `plausible` names crystals that samples shall resemble.

    Raises UserError for data that cannot be used and a folder with another run, TrainingInterrupted on Ctrl-C.
    """
    torch.set_num_threads(threads)
    if start is not None:
        settings = replace(settings, start=version_of(start))
    elif not settings.epochs:
        raise UserError("epochs: 0 keep weights as they are, and none are given.", "Name a generator as --start.")
    crystals = load_crystals(data, cif_column)
    examples = None if plausible is None else load_crystals(plausible, cif_column)
    targets = read_labels(crystals, labels)
    finished = _begin(out, _identity(crystals, examples, targets, settings))
    if finished:
        console.print(f"{out}: trained already; to train again give another --out.", soft_wrap=True)
        return out / CARD
    stopped = f"{out}: stopped; the same command goes on."
    with _ended_like_ctrl_c():
        try:
            encoded = encode_set(crystals, symprec_ang=settings.symprec_ang, cache=out / CODES, workers=threads)
            refused = refused_rows(crystals, encoded, settings.max_atoms)
            refused.to_csv(out / REFUSED_ROWS, index=False)
            found = divide(crystals, encoded, targets, refused, settings)
            warnings = shortcomings(found.train)
            if settings.start:
                warnings.append(f"began with {settings.start}, which may have been trained on crystals held out here")
            _report(found, warnings, settings, out)
            trainer = Trainer(settings, found.train, found.train_labels, out, start, found.watched)
            stopped = f"{out}: stopped; the same command goes on from the last whole epoch."
            network = trainer.run()
            whiten(network, found.train)
            held = {str(encoded.formulas[row]) for row in found.held.row}
            prior = fit_prior(network, settings, found.train, held, examples, out, threads)
            provenance = Provenance(
                data.name, crystals.digest, attribution, licence, tuple(warnings), trainer.seconds, prior
            )
            write_bundle(out, network, settings, found, provenance)
        except KeyboardInterrupt:
            raise TrainingInterrupted(stopped) from None
    console.print(f"{out}: trained; figures in {CARD}.", soft_wrap=True)
    return out / CARD


def changed_settings(changes: Mapping[str, Any], pairs: Sequence[str] = ()) -> TrainingSettings:
    """The default settings with `changes` (None means no change) and NAME=VALUE pairs. Raises UserError for others."""
    values = {name: value for name, value in changes.items() if value is not None}
    types: dict[str, type] = {name: type(value) for name, value in asdict(TrainingSettings()).items()}
    types.pop("start")  # follows from the weights that are named
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in types:
            raise UnknownChoiceError("--set", name, list(types))
        try:
            values[name] = types[name](text)
        except ValueError:
            raise UserError(f"--set {pair}: {text!r} is no {types[name].__name__}.") from None
    settings = replace(TrainingSettings(), **values)
    _refuse_impossible(settings)
    return settings


def _refuse_impossible(settings: TrainingSettings) -> None:
    at_least = {
        "latent": 1,
        "width": 2,
        "heads": 1,
        "layers": 1,
        "epochs": 0,
        "batch": 1,
        "max_atoms": 1,
        "patience": 1,
        "seed": 0,
        "prior_steps": 0,
        "prior_batch": 1,
        "denoiser": 2,
    }
    for name, lowest in at_least.items():
        if getattr(settings, name) < lowest:
            raise UserError(f"{name}: {getattr(settings, name)} is below {lowest}.")
    if settings.width % settings.heads or settings.width // settings.heads < 1:
        raise UserError(f"heads: {settings.heads} does not divide the width, {settings.width}.")
    if not 0 < settings.held_out < 1:
        raise UserError(f"held_out: {settings.held_out} is no share between 0 and 1.")
    if not 0 <= settings.watched < 1:
        raise UserError(f"watched: {settings.watched} is no share from 0 to below 1.")
    if not 0 < settings.blur_low <= settings.blur_high < 1:
        raise UserError(f"blur_low, blur_high: {settings.blur_low} and {settings.blur_high} do not ascend from 0 to 1.")
    if not 0 < settings.symprec_ang <= 0.5:
        raise UserError(f"symprec_ang: {settings.symprec_ang} is not above 0 and at most 0.5 angstrom.")


def _identity(
    crystals: CrystalSet, examples: CrystalSet | None, labels: Labels, settings: TrainingSettings
) -> dict[str, Any]:
    """What a run must share with the one it goes on with."""
    said = {name: float(np.nansum(labels.values[:, i])) for i, name in enumerate(labels.names)}
    plausible = "" if examples is None else examples.digest
    return {"data": crystals.digest, "plausible": plausible, "labels": said, **asdict(settings)}


def _begin(out: Path, identity: dict[str, Any]) -> bool:
    """Make the folder, or check that it holds this run; True where that has ended.

    Raises UserError where epochs of another run, or no run, are in it.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file.", "Give a folder as --out.")
    out.mkdir(parents=True, exist_ok=True)
    if not (out / RUN).exists() and any(out.iterdir()):
        raise UserError(f"{out}: is not empty and holds no training run.", "Give another folder as --out.")
    if (out / CHECKPOINT).exists() or (out / PRIOR_CHECKPOINT).exists():
        before = json.loads((out / RUN).read_text("utf-8"))
        if different := [name for name in {**before, **identity} if before.get(name) != identity.get(name)]:
            name = different[0]
            what = {"data": "other crystals", "plausible": "other plausible crystals", "labels": "other labels"}.get(
                name
            )
            differs = what or f"{name} {before.get(name)}, not {identity.get(name)}"
            raise UserError(
                f"{out}: holds a run with {differs}.", "Go on with what it began with, or into another --out."
            )
        return (out / CARD).exists()
    fresh = out / f"{RUN}.tmp"
    fresh.write_text(json.dumps(identity, indent=1) + "\n")
    os.replace(fresh, out / RUN)
    return False


def _report(found: TrainingSet, warnings: Sequence[str], settings: TrainingSettings, out: Path) -> None:
    """What there is to train on, on the screen."""
    console.print(f"{len(found.train)} crystals to train on, {len(found.held)} held out: {found.split}", soft_wrap=True)
    if len(found.refused):
        reasons = "; ".join(f"{n} x {reason}" for reason, n in list(counted_reasons(found.refused).items())[:5])
        console.print(f"{len(found.refused)} refused ({out / REFUSED_ROWS}): {reasons}", soft_wrap=True)
    known = np.isfinite(np.concatenate([found.train_labels, found.held_labels])).sum(0)
    rows = len(found.train_labels) + len(found.held_labels)
    names = ", ".join(f"{name} ({n} of {rows})" for name, n in zip(found.property_names, known, strict=True))
    console.print(f"labels: {names}" if names else "no labels: the generator will predict no property", soft_wrap=True)
    for warning in warnings:
        console.print(f"warning: {warning}", style="yellow", soft_wrap=True)
    console.print(" ".join(f"{name}={value}" for name, value in asdict(settings).items()), soft_wrap=True)


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """SIGTERM, which a batch system sends before it kills, ends the run as Ctrl-C does."""
    if current_thread() is not main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
