"""Is the latent space one to search in? What z says of a property, what it ignores, and how smoothly it decodes."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core import Structure
from torch import Tensor

from generative.equivalents import WAYS, rewritten
from generative.evaluation import MATCHER, matcher
from generative.figures import Figure, Figures, mean, median, share
from generative.models.wyckoff_vae import WyckoffVae
from generative.progress import tracked
from generative.protocols import Generator
from generative.representations.wyckoff import fingerprint
from generative.sample_quality import FINGERPRINT

RIDGE = 1.0
INVARIANCE_CRYSTALS = 200
SAME_LATENT = 1e-5
SEGMENTS, STEPS = 50, 20
SPEED_CRYSTALS = 500
SPEED_LATENTS = 1000


def ridge_r2(
    z: NDArray[np.float64], y: NDArray[np.float64], z_test: NDArray[np.float64], y_test: NDArray[np.float64]
) -> float | None:
    """R² on the test rows of a ridge fit to the others; `z [n, d]`, `y [n]`. None where either side has too few values.

    Standardised inputs, penalty 1 on the sum of squared coefficients of a standardised y.
    """
    kept, kept_test = np.isfinite(y), np.isfinite(y_test)
    z, y, z_test, y_test = z[kept], y[kept], z_test[kept_test], y_test[kept_test]
    if len(y) < 2 or len(y_test) < 2 or y.std() == 0 or y_test.std() == 0:
        return None
    centre, scale = z.mean(0), z.std(0) + 1e-12
    inputs = (z - centre) / scale
    weights = np.linalg.solve(inputs.T @ inputs + RIDGE * np.eye(z.shape[1]), inputs.T @ (y - y.mean()))
    predicted = y.mean() + (z_test - centre) / scale @ weights
    return float(1 - ((y_test - predicted) ** 2).mean() / y_test.var())


def invariance_figures(generator: Generator, crystals: Sequence[Structure], seed: int) -> Figures:
    """How far z moves when a crystal is written down otherwise: length of the difference, whitened latents."""
    rng = np.random.default_rng(seed)
    chosen = [crystals[i] for i in rng.permutation(len(crystals))[:INVARIANCE_CRYSTALS]]
    changes = np.full((len(chosen), len(WAYS)), np.inf)
    for row, x in enumerate(tracked(chosen, "rewriting crystals", len(chosen))):
        z, *others = generator.encode([x, *rewritten(x, rng)])
        for column, other in enumerate(others):
            if isinstance(z, Tensor) and isinstance(other, Tensor):
                changes[row, column] = float(torch.linalg.vector_norm(z - other))
    kept = changes < SAME_LATENT
    rule = f"length of the change of z below {SAME_LATENT:g}; a failure to encode counts as a change"
    found = {"z_invariant": share((bool(row.all()) for row in kept), f"{rule}, in all of: {', '.join(WAYS)}")}
    for column, way in enumerate(WAYS):
        name = "z_invariant_" + way.replace(",", "").replace(" ", "_")
        found[name] = share(kept[:, column].tolist(), f"{rule}: {way}")
    return found


def smoothness_figures(generator: Generator, seed: int) -> Figures:
    """How the decoded crystal changes along random unit segments, in steps of a twentieth."""
    noise = torch.Generator().manual_seed(seed)
    start, direction = torch.randn(2, SEGMENTS, generator.latent_dim, generator=noise, dtype=torch.float64)
    direction = direction / torch.linalg.vector_norm(direction, dim=1, keepdim=True)
    places = torch.linspace(0, 1, STEPS + 1, dtype=torch.float64)
    same, formula, group, both, distances, volumes, kinds = matcher(), [], [], [], [], [], []
    for i in tracked(range(SEGMENTS), "unit segments", SEGMENTS):
        line = start[i] + places[:, None] * direction[i]
        crystals = [x if isinstance(x, Structure) else None for x in generator.decode(line, within=None, seed=seed)]
        marks = [_mark(x) for x in crystals]
        kinds.append(len(set(marks)))
        for a, b, mark_a, mark_b in zip(crystals, crystals[1:], marks, marks[1:], strict=False):
            keeps = [x is not None and x == y for x, y in zip(mark_a, mark_b, strict=True)]
            formula.append(keeps[0])
            group.append(keeps[1])
            both.append(all(keeps[:2]))
            if both[-1] and a is not None and b is not None:
                volumes.append(abs(b.volume / len(b) / (a.volume / len(a)) - 1))
                found = same.get_rms_dist(a, b)
                distances += [float(found[0])] if found is not None else []
    line_rule = f"{SEGMENTS} random unit segments from N(0, I) points, {STEPS} steps of length {1 / STEPS:g} each"
    of_both = "steps that keep composition and space group"
    return {
        "smooth_composition": share(formula, f"steps that keep the composition; {line_rule}"),
        "smooth_space_group": share(group, f"steps that keep the space group; {line_rule}"),
        "smooth_both": share(both, f"{of_both}; {line_rule}"),
        "smooth_rmsd": mean(distances, "1", f"normalised RMSD of {of_both} and match by {MATCHER}; {line_rule}"),
        "smooth_volume": median(volumes, "share", f"relative change of volume per atom in {of_both}; {line_rule}"),
        "crystals_per_segment": mean(map(float, kinds), "1", f"distinct crystals ({FINGERPRINT}) on one; {line_rule}"),
    }


def _mark(crystal: Structure | None) -> tuple[str | None, str | None, str | None]:
    """Formula, space group, fingerprint."""
    mark = fingerprint(crystal) if crystal is not None else None
    if not isinstance(mark, str):
        return None, None, None
    group, formula, _ = mark.split(":")
    return formula, group, mark


def speed_figures(generator: WyckoffVae, crystals: Sequence[Structure]) -> Figures:
    """Crystals per second both ways, after a first batch that reads the tables."""
    threads = torch.get_num_threads()
    xs = list(crystals[:SPEED_CRYSTALS])
    generator.representation.featurize(xs[:50])
    started = time.perf_counter()
    generator.representation.featurize(xs)
    encoding = len(xs) / (time.perf_counter() - started) if xs else None
    noise = torch.Generator().manual_seed(0)
    z = torch.randn(SPEED_LATENTS, generator.latent_dim, generator=noise, dtype=torch.float64)
    generator.decode(z[:100], within=None, seed=0)
    started = time.perf_counter()
    generator.decode(z, within=None, seed=0)
    decoding = SPEED_LATENTS / (time.perf_counter() - started)
    return {
        "featurize_per_second": Figure(encoding, "1/s", len(xs), "crystals to codes, this machine, one thread"),
        "decode_per_second": Figure(
            decoding,
            "1/s",
            SPEED_LATENTS,
            f"N(0, I) latents to pymatgen Structures, this machine, {threads} thread(s)",
        ),
    }
