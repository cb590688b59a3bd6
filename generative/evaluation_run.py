"""Every figure of a generator that its weights and a set of crystals give, as one document."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pymatgen.core import Structure

from campaigns.errors import UserError
from generative.bundle import CARD, trained_with
from generative.datasets import Encoded, encode_set, read_cache
from generative.evaluation import MATCHER, Comparison, reconstructed, summary
from generative.figures import Figure, Figures, as_json
from generative.latent_quality import invariance_figures, ridge_r2, smoothness_figures, speed_figures
from generative.loading import CrystalSet, load_crystals, read_crystal
from generative.models.wyckoff_vae import WyckoffVae, bundled_weights
from generative.progress import console, tracked
from generative.protocols import EncodeFailure
from generative.sample_quality import Samples, neutrality_figures, sample_figures, sampled, ternary_figures
from generative.training_run import CODES
from generative.training_set import Labels, counted_reasons, held_out_rows, read_labels, refused_rows
from generative.training_settings import TrainingSettings

FORMATION_ENERGY = "formation_energy_ev_atom"


@dataclass(frozen=True)
class Evaluation:
    """The document that is printed, and what the plots show besides."""

    document: dict[str, Any]
    subject: Subject
    comparisons: list[Comparison]
    samples: Samples


@dataclass(frozen=True)
class Subject:
    """A generator and the crystals it is judged on: `rows` of the set, each with its `crystals`."""

    generator: WyckoffVae
    settings: TrainingSettings
    crystals_set: CrystalSet
    encoded: Encoded
    labels: Labels
    in_training: NDArray[np.bool_] | None  # [N] rows of the training split; None where the set is not the training set
    rows: tuple[int, ...]
    crystals: tuple[Structure, ...]
    rule: str

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """Codes of the set that the generator is for, `[n]`."""
        return self.encoded.codes.n_atoms() <= self.settings.max_atoms

    @property
    def refused(self) -> pd.DataFrame:
        """Rows of the set that the generator is not for, or that have no code, with their reasons."""
        return refused_rows(self.crystals_set, self.encoded, self.settings.max_atoms)

    @property
    def data_formulas(self) -> list[str]:
        """Reduced formulas of the usable codes."""
        return [str(self.encoded.formulas[row]) for row in self.encoded.codes.row[self.usable]]


def evaluate_generator(
    weights: str,
    data: Path,
    *,
    samples: int = 10_000,
    limit: int | None = None,
    seed: int = 0,
    labels: Sequence[str] = (),
    cif_column: str = "cif",
    known: Callable[[str], bool] | None = None,
    cache: Path | None = None,
    threads: int = 1,
) -> Evaluation:
    """Measure everything. `known` says whether a fingerprint is that of a known material; `cache` keeps the codes.

    Raises UserError for weights or data that cannot be used.
    """
    torch.set_num_threads(threads)
    folder = bundled_weights() if weights == "bundled" else Path(weights)
    seconds: dict[str, float] = {}
    with _timed("reading and encoding", seconds):
        subject = _subject(folder, load_crystals(data, cif_column), labels, limit, seed, cache, threads)
    generator = subject.generator
    figures: Figures = {
        "latent_dim": Figure(float(generator.latent_dim), "1", 1, "dimensions of z"),
    }
    with _timed("reconstruction", seconds):
        comparisons = reconstructed(generator, subject.crystals)
        figures |= reconstruction_figures(comparisons, subject)
    with _timed("samples", seconds):
        drawn = sampled(generator, samples, seed)
        figures |= sample_figures(drawn, known)
        figures |= neutrality_figures(drawn, subject.data_formulas, seed)
        figures |= ternary_figures(generator, subject.data_formulas, seed)
    with _timed("latent space", seconds):
        figures |= property_figures(subject, seed)
        figures |= invariance_figures(generator, subject.crystals, seed)
        figures |= smoothness_figures(generator, seed)
    with _timed("speed", seconds):
        figures |= speed_figures(generator, subject.crystals)
    document = {
        "generator": generator.version,
        "weights": weights,
        "data": {
            "name": data.name,
            "sha256": subject.crystals_set.digest,
            "rows": len(subject.crystals_set),
            "refused": {"rows": len(subject.refused), "reasons": counted_reasons(subject.refused)},
        },
        "judged_on": subject.rule,
        "seed": seed,
        "figures": as_json(figures),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }
    return Evaluation(document, subject, comparisons, drawn)


def load_generator(folder: Path) -> tuple[WyckoffVae, TrainingSettings, dict[str, Any]]:
    """A bundle, the settings it was trained with, and its card (empty where it has none). Raises UserError."""
    try:
        generator = WyckoffVae.load(folder, torch.device("cpu"))
        card = json.loads((folder / CARD).read_text("utf-8")) if (folder / CARD).exists() else {}
        return generator, trained_with(folder), card
    except (ValueError, KeyError, OSError) as error:
        raise UserError(f"--weights: {' '.join(str(error).split())}") from None


def _subject(
    folder: Path,
    crystals: CrystalSet,
    label_texts: Sequence[str],
    limit: int | None,
    seed: int,
    cache: Path | None,
    threads: int,
) -> Subject:
    generator, settings, card = load_generator(folder)
    labels = read_labels(crystals, label_texts)
    encoded = read_cache(folder / CODES, crystals, settings.symprec_ang)
    if encoded is None:
        encoded = encode_set(crystals, symprec_ang=settings.symprec_ang, cache=cache, workers=threads)
    in_training = None
    rows = np.arange(len(crystals))
    rule = f"all rows of {crystals.source.name}, not the training set (what it shares with it is not told apart)"
    if card.get("data_sha256") == crystals.digest:
        held, split = held_out_rows(encoded, settings)
        in_training, rows = ~held, np.flatnonzero(held)
        rule = f"the held-out rows of the training set: {split}"
    atoms = dict(zip(encoded.codes.row.tolist(), encoded.codes.n_atoms().tolist(), strict=True))
    rule += f"; at most {settings.max_atoms} atoms in the primitive cell"
    chosen = [
        row
        for row in rows.tolist()
        if (atoms[row] <= settings.max_atoms if row in atoms else _counts(read_crystal(crystals.items[row]), settings))
    ]
    if limit is not None and limit < len(chosen):
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, limit, replace=False)).tolist()
        rule += f"; {limit} of them at random, seed {seed}"
    if not chosen:
        raise UserError(f"{crystals.source}: no row to judge the generator by ({rule}).")
    read = (read_crystal(crystals.items[row]) for row in tracked(chosen, "reading", len(chosen)))
    structures = tuple(x for x in read if isinstance(x, Structure))
    return Subject(generator, settings, crystals, encoded, labels, in_training, tuple(chosen), structures, rule)


def _counts(crystal: Structure | EncodeFailure, settings: TrainingSettings) -> bool:
    """Whether a row without a code holds a crystal the generator is for, so that its failure to encode is a miss."""
    if not isinstance(crystal, Structure) or not crystal.is_ordered:
        return False
    return len(crystal.get_primitive_structure()) <= settings.max_atoms


def reconstruction_figures(comparisons: Sequence[Comparison], subject: Subject) -> Figures:
    """Match, errors, exactness."""
    found, n = summary(comparisons), len(comparisons)
    matched = sum(each.matched for each in comparisons)
    once = "encode to the mean, decode once, no optimisation; a failure is a miss"
    exact = "reduced formula and space group (0.1 angstrom) are those of the crystal"
    of_matched = f"of the crystals that match by {MATCHER}"
    return {
        "match": Figure(found.match, "share", n, f"{MATCHER}; {once}"),
        "rmsd": Figure(found.rmsd, "1", matched, f"mean normalised RMSD {of_matched}"),
        "volume_error": Figure(found.volume_error, "share", matched, f"median, per atom, {of_matched}"),
        "exact_of_matched": Figure(found.exact_of_matched, "share", matched, f"{exact}, {of_matched}"),
        "exact": Figure(found.exact, "share", n, f"{exact}, of all"),
    }


def property_figures(subject: Subject, seed: int) -> Figures:
    """R² of each label from z by ridge, and what the property head is off by, on crystals the fit did not see."""
    codes = subject.encoded.codes.take(subject.usable)
    z = subject.generator.latents(codes).numpy()
    if subject.in_training is None:
        held, split = held_out_rows(subject.encoded, subject.settings)
        fitted, rule = ~held[codes.row], f"the set split in two: {split}"
    else:
        fitted, rule = subject.in_training[codes.row], "fit to the training split, judged on the held-out one"
    predicted = subject.generator.predict(torch.tensor(z))
    found: Figures = {}
    for name, values in zip(subject.labels.names, subject.labels.values.T, strict=True):
        y = values[codes.row]
        n = int(np.isfinite(y[~fitted]).sum())
        value = ridge_r2(z[fitted], y[fitted], z[~fitted], y[~fitted])
        found[f"r2_{name}"] = Figure(value, "1", n, f"ridge on z; {rule}")
        if name in predicted:
            errors = np.abs(predicted[name].numpy() - y)[~fitted & np.isfinite(y)]
            mae = float(errors.mean()) if len(errors) else None
            found[f"head_mae_{name}"] = Figure(
                mae, "label's unit", n, "mean absolute error of the generator's own prediction"
            )
    if f"r2_{FORMATION_ENERGY}" not in found:
        nothing = "the data has no such label"
        found[f"r2_{FORMATION_ENERGY}"] = Figure(None, "1", 0, nothing)
    return found


@contextmanager
def _timed(name: str, seconds: dict[str, float]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - started
    if console.is_terminal:
        console.print(f"{name}: {seconds[name]:.0f} s")
