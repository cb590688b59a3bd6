"""Fit the decoder of blurred latents, so that samples of the prior decode to crystals as plausible as known ones.

Encodings fill N(0, I) as a thin sheet fills a room. A decoder that was trained on them alone answers a latent from
beside the sheet, as nearly all samples of the prior are, with elements and positions that do not belong together. Here
the whitened latent z of a plausible crystal is blurred, z' = sqrt(1 - s^2) z + s e with e from N(0, I), which keeps the
law of whitened latents, and a second decoder learns which crystal it came from. With s near one only as much is left of
z as a sample of the prior shares with the nearest crystals. A step of the search is such a blur, too. Which of the two
decoders a latent goes to is the answer of a classifier of encodings and blurred latents.
Denoising as training: P. Vincent et al., J. Mach. Learn. Res. 11, 3371 (2010).
"""

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from campaigns.errors import UserError
from generative.batches import Batch, to_batch
from generative.datasets import Codes, merge
from generative.loading import CrystalSet
from generative.networks import VaeNetwork
from generative.plausible import likely_relatives, screened
from generative.progress import console, tracked
from generative.training import batches, encode_codes, relatives_of
from generative.training_settings import TrainingSettings

PRIOR_CHECKPOINT = "prior_checkpoint.pt"
BLOCK = 100  # steps between two checkpoints
SAID_EVERY = 500
WARM_UP = 100
LEARNING_RATE = 1e-3
NEARLY_ENCODED = 0.2  # blurs up to here belong to the decoder of encodings
SURELY_BLURRED = 0.6  # and from here on to the other; in between the classifier may put the border where it likes

Draw = tuple[NDArray[np.int64], NDArray[np.int64], torch.Generator]  # crystals, encodings, noise of a step


def blur(z: Tensor, low: float, high: float, noise: torch.Generator) -> Tensor:
    """Whitened latents `[n, D]`, each blurred by an s drawn from low to high."""
    s = low + (high - low) * torch.rand(len(z), 1, generator=noise).to(z.device)
    return torch.sqrt(1 - s**2) * z + s * torch.randn(z.shape, generator=noise).to(z.device)


def blurred_loss(
    network: VaeNetwork, z: Tensor, batch: Batch, settings: TrainingSettings, noise: torch.Generator
) -> Tensor:
    """What is lost of crystals whose whitened latents `z [n, D]` are blurred, nats per crystal."""
    raw = network.unwhitened(blur(z, settings.blur_low, settings.blur_high, noise)).float()
    parts = network.blurred.reconstruction(raw, batch)
    return torch.stack([part.mean() for part in parts.values()]).sum()


def routing_loss(network: VaeNetwork, encodings: Tensor, others: Tensor, noise: torch.Generator) -> Tensor:
    """Cross entropy of the classifier; whitened `encodings` blurred a little, `others` much, both `[n, D]`."""
    own = network.blurred.blur_logit(network.unwhitened(blur(encodings, 0.0, NEARLY_ENCODED, noise)).float())
    far = network.blurred.blur_logit(network.unwhitened(blur(others, SURELY_BLURRED, 1.0, noise)).float())
    return F.softplus(own).mean() + F.softplus(-far).mean()


class PriorTrainer:
    """Holds what changes: the blurred decoder, its optimiser, the step. The rest of the network stays as it is."""

    def __init__(
        self, network: VaeNetwork, settings: TrainingSettings, plausible: Codes, encoded: Codes, out: Path
    ) -> None:
        self.network, self.settings, self.codes = network, settings, plausible
        self.latents = network.whitened(encode_codes(network, plausible)).float()
        encodings = network.whitened(encode_codes(network, encoded)).float()
        self.encodings = torch.cat([self.latents, encodings])
        network.requires_grad_(False)
        network.blurred.requires_grad_(True)
        network.blurred.decoder.sites.requires_grad_(False)
        network.blurred.decoder.load_state_dict(network.decoder.state_dict())
        self.trained = [each for each in network.blurred.parameters() if each.requires_grad]
        self.optimiser = torch.optim.AdamW(self.trained, LEARNING_RATE, weight_decay=settings.weight_decay, fused=True)
        self.step = 0
        self.checkpoint = out / PRIOR_CHECKPOINT
        if self.checkpoint.exists():
            self._go_on()

    def _go_on(self) -> None:
        """From the checkpoint, which is read as numbers: code in it is not run."""
        try:
            state = torch.load(self.checkpoint, weights_only=True)
            self.network.blurred.load_state_dict(state["blurred"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step = state["step"]
        except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, ValueError, EOFError) as error:
            raise UserError(
                f"{self.checkpoint}: is no checkpoint of this training ({str(error).splitlines()[0][:200]}).",
                "Remove it to fit the prior again.",
            ) from error

    def run(self) -> VaeNetwork:
        """To the last step; a run that was stopped goes on from the last whole block."""
        steps = range(self.step, self.settings.prior_steps)
        draws: Iterator[Draw] = iter(())
        for _ in tracked(steps, f"fitting the prior to {len(self.codes)} crystals", len(steps)):
            if self.step % BLOCK == 0:
                draws = self._draws(self.step // BLOCK)
            loss = self._one_step(*next(draws))
            self.step += 1
            if self.step % BLOCK == 0 or self.step == self.settings.prior_steps:
                self._keep()
            if self.step % SAID_EVERY == 0 or self.step == self.settings.prior_steps:
                console.print(
                    f"prior {self.step}/{self.settings.prior_steps}  {loss:.2f} nats lost of a blurred crystal"
                )
        return self.network.eval()

    def _draws(self, block: int) -> Iterator[Draw]:
        """Crystals, encodings and noise of each step of a block, which depend on the seed and the block alone."""
        rng = np.random.default_rng([self.settings.seed, block])
        noise = torch.Generator().manual_seed(self.settings.seed * 100_003 + block)
        while True:
            for index in batches(self.codes, self.settings.prior_batch, rng):
                yield index, rng.integers(len(self.encodings), size=4 * len(index)), noise

    def _one_step(self, index: NDArray[np.int64], others: NDArray[np.int64], noise: torch.Generator) -> float:
        progress = self.step / self.settings.prior_steps
        rate = LEARNING_RATE * min(1.0, (self.step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in self.optimiser.param_groups:
            group["lr"] = max(rate, LEARNING_RATE * 0.02)
        self.network.blurred.train()
        batch = to_batch(self.codes.take(index), self.latents.device)
        loss = blurred_loss(self.network, self.latents[index], batch, self.settings, noise)
        near, far = self.encodings[others].chunk(2)
        self.optimiser.zero_grad()
        (loss + routing_loss(self.network, near, far, noise)).backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimiser.step()
        return float(loss.detach())

    def _keep(self) -> None:
        state = {
            "blurred": self.network.blurred.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }
        temporary = self.checkpoint.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, self.checkpoint)


def fit_prior(
    network: VaeNetwork,
    settings: TrainingSettings,
    train: Codes,
    held_formulas: Collection[str],
    examples: CrystalSet | None,
    out: Path,
    workers: int,
) -> dict[str, Any]:
    """Fit to `examples`, or if there are none to the crystals trained on and their likely relatives; says to what."""
    if examples is None:
        chosen = merge(train, likely_relatives(train, settings.relatives, settings.seed, held_formulas))
        source = "the crystals trained on and their likely relatives"
    else:
        chosen = screened(examples, settings.max_atoms, settings.symprec_ang, held_formulas, workers)
        source = examples.source.name
    encoded = merge(train, relatives_of(train, settings.relatives, settings.seed))
    PriorTrainer(network, settings, chosen, encoded, out).run()
    return {
        "steps": settings.prior_steps,
        "crystals": len(chosen),
        "source": source,
        "sha256": None if examples is None else examples.digest,
    }
