"""How faithful a trained generator is to crystals it never saw, and what its prior holds.

    python -m benchmarks.generator --weights generative/weights/wyckoff_vae --data mp_train.csv.gz

`--data` is the table the weights were trained on: the split is made again from the settings beside the weights, and
only its held-out part is used. `--cache` keeps the encoded table. The figures are named as in the model card.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import torch

from generative.bundle import held_out_figures
from generative.evaluation import prior_samples
from generative.models.wyckoff_vae import WyckoffVae
from generative.training import TrainingSettings, prepare


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generator", description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="folder written by generative.training")
    parser.add_argument("--data", type=Path, required=True, help="CSV with the columns cif and formula")
    parser.add_argument("--n", type=int, default=None, help="held-out crystals to use; all where absent")
    parser.add_argument("--samples", type=int, default=1000, help="latents drawn from the prior")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=None, help="file of encoded crystals, written where absent")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("command: python -m benchmarks.generator", *sys.argv[1:])
    generator = WyckoffVae.load(given.weights, torch.device("cpu"))
    settings = trained_with(given.weights)
    _, held, _, labels, _ = prepare(given.data, settings, given.cache, workers=2)
    n = min(given.n or len(held), len(held))
    chosen = np.random.default_rng(given.seed).choice(len(held), n, replace=False)
    print(f"{generator.version}; seed {given.seed}; {n} of {len(held)} held-out crystals, {given.samples} samples")
    started = time.perf_counter()
    figures = held_out_figures(generator, held.take(chosen), labels[chosen])
    figures["prior_samples"] = asdict(prior_samples(generator, given.samples, given.seed))
    print(json.dumps(figures, indent=1))
    print(f"{time.perf_counter() - started:.0f} s on one thread")
    return 0


def trained_with(folder: Path) -> TrainingSettings:
    """The settings stored beside the weights."""
    stored = json.loads((folder / "settings.json").read_text())
    return TrainingSettings(**{field.name: stored[field.name] for field in fields(TrainingSettings)})


if __name__ == "__main__":
    raise SystemExit(main())
