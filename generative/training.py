"""Fit a Wyckoff VAE to codes.

Each epoch sees every training crystal once and some substituted relatives of each, and ends with a checkpoint from
which the next run goes on. The weights that end a run are those of the epoch that reconstructed the watched crystals
best; they are neither trained on nor among those that a generator is judged by.
"""

from __future__ import annotations

import math
import os
import pickle
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from campaigns.elements import SYMBOLS
from campaigns.errors import UserError
from campaigns.workers import worker_pool
from generative.augmentation import substituted
from generative.batches import Batch, to_batch
from generative.datasets import MAX_ORBITS, Codes, merge, stack
from generative.networks import VaeNetwork, version_of_weights
from generative.progress import console, tracked
from generative.training_settings import TrainingSettings

CHECKPOINT = "checkpoint.pt"
RELATIVES_SERVE = 3  # epochs that see the same relatives


MAGPIE_PROPERTIES = (
    "MendeleevNumber",
    "Column",
    "Row",
    "AtomicWeight",
    "MeltingT",
    "CovalentRadius",
    "Electronegativity",
    "NsValence",
    "NpValence",
    "NdValence",
    "NfValence",
    "GSvolume_pa",
    "GSbandgap",
)


def element_features() -> Tensor:
    """Magpie elemental properties (Ward et al. 2016, through matminer), standardised, `[104, F]`; unknown is zero."""
    from matminer.utils.data import MagpieData
    from pymatgen.core import Element

    source = MagpieData(impute_nan=False)
    table = np.full((len(SYMBOLS) + 1, len(MAGPIE_PROPERTIES)), np.nan)
    for z, symbol in enumerate(SYMBOLS, start=1):
        table[z] = [source.get_elemental_property(Element(symbol), name) for name in MAGPIE_PROPERTIES]
    mean, std = np.nanmean(table, axis=0), np.nanstd(table, axis=0)
    return torch.tensor(np.nan_to_num((table - mean) / std), dtype=torch.float32)


def relatives_of(codes: Codes, copies: int, seed: int) -> Codes:
    """At most `copies` substituted relatives of each code."""
    kept = [code for code in substituted(codes, copies, seed) if len(code.positions) <= MAX_ORBITS]
    return stack(kept, [-1] * len(kept))


def batches(codes: Codes, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Shuffled batches of similar numbers of orbits, so that little is padding."""
    noisy = codes.n_orbits + rng.random(len(codes))
    order = np.argsort(noisy, kind="stable")
    parts = np.array_split(order, math.ceil(len(order) / size))
    for i in rng.permutation(len(parts)):
        yield parts[i]


def loss_terms(network: VaeNetwork, batch: Batch, labels: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
    """Batch means: the reconstruction parts, `kl` (nats) and `properties` (squared error in standard deviations)."""
    mean, log_variance = network.encoder(batch)
    z = mean + torch.exp(0.5 * log_variance) * torch.randn(mean.shape, generator=noise).to(mean.device)
    terms = {name: part.mean() for name, part in network.decoder.reconstruction(z, batch).items()}
    terms["kl"] = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
    known = torch.isfinite(labels)
    error = (network.properties(z) - torch.nan_to_num(labels))[known]
    terms["properties"] = (error**2).mean() if known.any() else torch.zeros((), device=z.device)
    return terms


def version_of(folder: Path) -> str:
    """Name of the weights in a bundle's folder. Raises UserError where there are none."""
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise UserError(f"--start: {str(folder)!r} holds no model.safetensors.", "Name the folder of a generator.")
    return version_of_weights(weights.read_bytes())


def load_start(network: VaeNetwork, folder: Path) -> None:
    """Take over every tensor of a bundle that the network has in the same shape; the others stay as initialised."""
    state = {k: v for k, v in load_file(folder / "model.safetensors").items() if not k.startswith("white_")}
    own = network.state_dict()
    fitting = {name: tensor for name, tensor in state.items() if name in own and own[name].shape == tensor.shape}
    network.load_state_dict(fitting, strict=False)  # the decoder's sites are the encoder's own module
    console.print(f"started from {version_of(folder)}: {len(fitting)} of {len(state)} tensors taken over")


@dataclass(frozen=True)
class Best:
    """The epoch that reconstructed the watched crystals best so far, and its weights."""

    epoch: int
    loss: float  # nats per crystal
    state: dict[str, Tensor]


class Trainer:
    """Holds what changes while training: network, optimiser, epoch."""

    def __init__(
        self,
        settings: TrainingSettings,
        codes: Codes,
        labels: NDArray[np.float64],
        out: Path,
        start: Path | None = None,
        watched: Codes | None = None,
    ) -> None:
        self.settings, self.codes, self.labels, self.out = settings, codes, labels, out
        self.watched = watched
        torch.manual_seed(settings.seed)
        self.network = VaeNetwork(
            latent=settings.latent,
            width=settings.width,
            heads=settings.heads,
            layers=settings.layers,
            n_properties=labels.shape[1],
            element_features=element_features(),
            dropout=settings.dropout,
            denoiser=settings.denoiser,
        )
        if start is not None:
            load_start(self.network, start)
        for i, values in enumerate(labels.T):
            known = values[np.isfinite(values)]
            if len(np.unique(known)) > 1:  # else the property head keeps mean 0 and deviation 1, and learns little
                self.network.property_mean[i], self.network.property_std[i] = known.mean(), known.std()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.epoch = 0
        self.seconds = 0.0
        self.best = Best(0, math.inf, {})
        self.checkpoint = out / CHECKPOINT
        if self.checkpoint.exists():
            self._go_on()

    def _go_on(self) -> None:
        """From the checkpoint, which is read as numbers: code in it is not run."""
        try:
            state = torch.load(self.checkpoint, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.epoch, self.seconds = state["epoch"], state["seconds"]
            self.best = Best(*state["best"])
        except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, ValueError, EOFError) as error:
            raise UserError(
                f"{self.checkpoint}: is no checkpoint of this training ({str(error).splitlines()[0][:200]}).",
                "Remove it to begin again.",
            ) from error

    def run(self) -> VaeNetwork:
        """Train to the last epoch, or until the watched crystals gain no more; returns the best epoch's weights.

        Fresh relatives are made by a second process meanwhile. Ctrl-C ends it at once; the checkpoint is that of the
        last whole epoch.
        """
        if not self._finished():
            self._train()
        if self.best.state:
            self.network.load_state_dict(self.best.state)
        return self.network

    def _finished(self) -> bool:
        since = self.epoch - self.best.epoch
        return self.epoch >= self.settings.epochs or (self.watched is not None and since >= self.settings.patience)

    def _train(self) -> None:
        with worker_pool(1) as pool:
            made = self.epoch // RELATIVES_SERVE
            relatives = self._make_relatives(pool, made)
            while not self._finished():
                extra = relatives.result()
                if self.epoch + 1 < self.settings.epochs:
                    following = (self.epoch + 1) // RELATIVES_SERVE
                    if following != made:
                        made, relatives = following, self._make_relatives(pool, following)
                self._one_epoch(merge(self.codes, extra))
        if self.epoch < self.settings.epochs:
            console.print(f"stopped early: epoch {self.best.epoch} reconstructed the watched crystals best")

    def _make_relatives(self, pool: ProcessPoolExecutor, number: int) -> Future[Codes]:
        return pool.submit(relatives_of, self.codes, self.settings.relatives, self.settings.seed + number)

    def _one_epoch(self, codes: Codes) -> None:
        settings, start = self.settings, time.perf_counter()
        rng = np.random.default_rng([settings.seed, self.epoch])
        noise = torch.Generator().manual_seed(settings.seed * 100_003 + self.epoch)
        labels = np.full((len(codes), self.labels.shape[1]), np.nan)
        labels[: len(self.labels)] = self.labels
        standard = (torch.tensor(labels) - self.network.property_mean) / self.network.property_std
        totals: dict[str, float] = {}
        parts = list(batches(codes, settings.batch, rng))
        self.network.train()
        for step, index in enumerate(tracked(parts, f"epoch {self.epoch + 1}/{settings.epochs}", len(parts))):
            progress = (self.epoch + step / len(parts)) / settings.epochs
            rate = settings.learning_rate * min(1.0, progress * 50 + 0.02) * 0.5 * (1 + math.cos(math.pi * progress))
            for group in self.optimiser.param_groups:
                group["lr"] = max(rate, settings.learning_rate * 0.01)
            batch = to_batch(codes.take(index), torch.device("cpu"))
            terms = loss_terms(self.network, batch, standard[index].float(), noise)
            weights = {"kl": settings.beta * min(1.0, progress * 10), "properties": settings.property_weight}
            loss = torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()
            self.optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimiser.step()
            for name, term in terms.items():
                totals[name] = totals.get(name, 0.0) + float(term.detach()) / len(parts)
        self.epoch += 1
        self._watch(totals)
        self.seconds += time.perf_counter() - start
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch,
            "seconds": self.seconds,
            "best": (self.best.epoch, self.best.loss, self.best.state),
        }
        temporary = self.checkpoint.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, self.checkpoint)
        left = self.seconds / self.epoch * (settings.epochs - self.epoch)
        figures = "  ".join(f"{name} {value:.3f}" for name, value in totals.items())
        said = f"epoch {self.epoch}/{settings.epochs}  {figures}  {self.seconds:.0f} s, {left:.0f} s left"
        console.print(said, soft_wrap=True)

    def _watch(self, totals: dict[str, float]) -> None:
        """Note the reconstruction of the watched crystals from their means, and the weights where it is the best."""
        if self.watched is None:
            return
        self.network.eval()
        with torch.no_grad():
            batch = to_batch(self.watched, torch.device("cpu"))
            parts = self.network.decoder.reconstruction(self.network.encoder(batch)[0], batch)
        totals["watched"] = loss = float(torch.stack(list(parts.values())).sum(0).mean())
        if loss < self.best.loss:
            state = {name: each.clone() for name, each in self.network.state_dict().items()}
            self.best = Best(self.epoch, loss, state)


@torch.no_grad()
def encode_codes(network: VaeNetwork, codes: Codes, size: int = 512) -> Tensor:
    """Latent means before whitening, `[n, D]`, float64."""
    network.eval()
    parts = [
        network.encoder(to_batch(codes.take(np.arange(i, min(i + size, len(codes)))), torch.device("cpu")))[0]
        for i in range(0, len(codes), size)
    ]
    return torch.cat(parts).double()


def whiten(network: VaeNetwork, codes: Codes) -> None:
    """Store the affine map that gives the training latents zero mean and unit covariance, so N(0, I) covers them."""
    z = encode_codes(network, codes)
    mean = z.mean(0)
    covariance = torch.cov(z.T) + 1e-6 * torch.eye(z.shape[1], dtype=torch.float64)
    network.white_mean.copy_(mean)
    network.white_scale.copy_(torch.linalg.cholesky(covariance))
