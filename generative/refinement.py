"""Retraining a generator on what a campaign measured.

Half of every batch are the campaign's crystals, drawn by weight; the other half is replay, so that the generator does
not forget what it was trained on. Weighting after Tripp, Daxberger & Hernández-Lobato, "Sample-Efficient Optimization
in the Latent Space of Deep Generative Models via Weighted Retraining" (NeurIPS 2020).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generative.batches import to_batch
from generative.canonical import WyckoffCode
from generative.datasets import Codes, merge, stack
from generative.networks import VaeNetwork
from generative.prior_training import blurred_loss
from generative.progress import tracked
from generative.training import loss_terms
from generative.training_settings import TrainingSettings

REPLAYED = 2048  # samples of the generator, where the crystals it was trained on are not to be had
BATCH = 64  # half measured, half replayed
LEARNING_RATE = 5e-4
KEPT = 0.5  # share of the old weights in the new
WARM_UP = 0.1  # share of the steps
RANK_CONSTANT = 1e-3  # k of Tripp et al.


def rank_weights(n: int) -> NDArray[np.float64]:
    """w proportional to 1 / (k N + rank) for ranks 0 (the best) to n - 1 (Tripp et al. 2020, equation 3); sums to 1.

    N counts the replayed crystals too: it is the size of the set that is trained on.
    """
    weights = 1 / (RANK_CONSTANT * (REPLAYED + n) + np.arange(n))
    return np.asarray(weights / weights.sum())


def retrained(
    network: VaeNetwork,
    measured: Sequence[WyckoffCode],
    weights: Sequence[float],
    replay: Codes,
    replay_labels: Tensor,
    *,
    steps: int,
    seed: int,
) -> VaeNetwork:
    """`network` after `steps` batches, halfway back to where it started; the map to whitened latents stays.

    The mean of the weights before and after keeps nearly all of what was learned for the campaign and forgets little
    (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
    replay_labels `[len(replay), p]`: standardised targets of the property head; measured crystals have none.
    Raises ValueError where the loss is no longer a number.
    """
    settings = TrainingSettings()
    device = network.white_mean.device
    student = copy.deepcopy(network).train().requires_grad_(True)
    optimiser = torch.optim.AdamW(student.parameters(), LEARNING_RATE, weight_decay=settings.weight_decay)
    rng, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    chosen_from, chance = stack(list(measured)), np.asarray(weights, dtype=float) / float(np.sum(weights))
    unlabelled = torch.full((BATCH // 2, replay_labels.shape[1]), torch.nan)
    parts = {"kl": settings.beta, "properties": settings.property_weight}
    for step in tracked(range(steps), "retraining", steps):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * _schedule(step / steps)
        ours = rng.choice(len(chosen_from), BATCH // 2, p=chance)
        theirs = rng.choice(len(replay), BATCH // 2, replace=len(replay) < BATCH // 2)
        batch = to_batch(merge(chosen_from.take(ours), replay.take(theirs)), device)
        labels = torch.cat([unlabelled, replay_labels[theirs]]).float().to(device)
        terms = loss_terms(student, batch, labels, noise)
        with torch.no_grad():  # the blur starts from where the encoder is, and does not move it
            latents = student.whitened(student.encoder(batch)[0])
        terms["blurred"] = blurred_loss(student, latents, batch, settings, noise)
        loss = torch.stack([parts.get(name, 1.0) * term for name, term in terms.items()]).sum()
        if not torch.isfinite(loss):
            raise ValueError(f"training diverged in step {step + 1} of {steps}")
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
    with torch.no_grad():
        for ours_now, before in zip(student.parameters(), network.parameters(), strict=True):
            ours_now.lerp_(before, KEPT)
    return student.eval().requires_grad_(False)


def _schedule(progress: float) -> float:
    """Linear warm-up, then half a cosine to zero."""
    return min(1.0, progress / WARM_UP + 0.02) * 0.5 * (1 + math.cos(math.pi * progress))
