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
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from generative.bundle import held_out_figures, trained_with
from generative.datasets import encode_set
from generative.evaluation import prior_samples
from generative.loading import load_crystals
from generative.models.wyckoff_vae import WyckoffVae
from generative.training_set import divide, read_labels, refused_rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generator", description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="folder written by `optimize train`")
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
    crystals = load_crystals(given.data)
    encoded = encode_set(crystals, symprec_ang=settings.symprec_ang, cache=given.cache, workers=2)
    refused = refused_rows(crystals, encoded, settings.max_atoms)
    found = divide(crystals, encoded, read_labels(crystals), refused, settings)
    held, labels = found.held, found.held_labels
    n = min(given.n or len(held), len(held))
    chosen = np.random.default_rng(given.seed).choice(len(held), n, replace=False)
    print(f"{generator.version}; seed {given.seed}; {n} of {len(held)} held-out crystals, {given.samples} samples")
    started = time.perf_counter()
    figures = held_out_figures(generator, held.take(chosen), labels[chosen])
    figures["prior_samples"] = asdict(prior_samples(generator, given.samples, given.seed))
    print(json.dumps(figures, indent=1))
    print(f"{time.perf_counter() - started:.0f} s on one thread")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
