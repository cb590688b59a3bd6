"""The bundled generator: a variational autoencoder over canonical Wyckoff sequences.

Latents at the interface are whitened: over the training crystals they have zero mean and unit covariance, so the
prior is N(0, I). Decoding is greedy, hence a function of z and the search space alone.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from pymatgen.core import Structure
from safetensors.torch import load_file
from torch import Tensor

from campaigns.records import FailureCode
from campaigns.spec import SearchSpace, Strict
from generative.canonical import WyckoffCode
from generative.datasets import MAX_ORBITS, stack
from generative.decoding import decode_codes
from generative.grammar import Grammar, unrestricted
from generative.networks import VaeNetwork, to_batch
from generative.protocols import DecodeFailure, EncodeFailure
from generative.representations.wyckoff import Params as WyckoffParams
from generative.representations.wyckoff import WyckoffRepresentation


class Params(Strict):
    """Which weights to use."""

    weights: str = Field("bundled", description="`bundled`, or a folder written by generative.training.")


def build(params: Params, context: Any = None) -> WyckoffVae:
    """`context` is a torch.device; CPU where absent. Raises ValueError where the weights are missing."""
    device = context if isinstance(context, torch.device) else torch.device("cpu")
    return WyckoffVae.load(bundled_weights() if params.weights == "bundled" else Path(params.weights), device)


def bundled_weights() -> Path:
    return Path(str(files("generative").joinpath("weights/wyckoff_vae")))


@dataclass(frozen=True)
class WyckoffVae:
    """A trained generator. Frozen; see `generative.protocols.Generator`."""

    network: VaeNetwork
    representation: WyckoffRepresentation
    version: str
    property_names: tuple[str, ...]
    latent_dim: int
    device: torch.device

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> WyckoffVae:
        """Read `model.safetensors` and `settings.json`. Raises ValueError naming the folder where one is missing."""
        weights, settings = folder / "model.safetensors", folder / "settings.json"
        if not (weights.exists() and settings.exists()):
            raise ValueError(f"weights: {str(folder)!r} holds no model.safetensors with settings.json; use `bundled`")
        config = json.loads(settings.read_text())
        state = load_file(weights)
        network = VaeNetwork(
            latent=config["latent"],
            width=config["width"],
            heads=config["heads"],
            layers=config["layers"],
            n_properties=len(config["properties"]),
            element_features=state["encoder.sites.element_features"],
        )
        state["decoder.sites.element_features"] = state["encoder.sites.element_features"]
        for name in list(state):
            if name.startswith("encoder.sites."):
                state[name.replace("encoder.", "decoder.", 1)] = state[name]
        network.load_state_dict(state)
        network.to(device).eval().requires_grad_(False)
        return cls(
            network,
            WyckoffRepresentation(WyckoffParams(symprec_ang=config["symprec_ang"])),
            "wyckoff_vae-" + hashlib.sha256(weights.read_bytes()).hexdigest()[:12],
            tuple(config["properties"]),
            int(config["latent"]),
            device,
        )

    def encode(self, xs: Sequence[Structure]) -> list[Tensor | EncodeFailure]:
        """Whitened latent means, each `[d]` float64 on the CPU; same length and order."""
        codes = self.representation.featurize(xs)
        answers: list[Tensor | EncodeFailure] = []
        kept, places = [], []
        for i, code in enumerate(codes):
            if isinstance(code, EncodeFailure):
                answers.append(code)
            elif len(code.positions) > MAX_ORBITS:
                why = f"{len(code.positions)} orbits exceed the model's {MAX_ORBITS}"
                answers.append(EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, why))
            else:
                answers.append(EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, ""))  # replaced below
                kept.append(code)
                places.append(i)
        if kept:
            with torch.no_grad():
                mean = self.network.encoder(to_batch(stack(kept), self.device))[0].double().cpu()
            for i, z in zip(places, self._whiten(mean), strict=True):
                answers[i] = z
        return answers

    def decode(self, z: Tensor, *, within: SearchSpace | None = None, seed: int = 0) -> list[Structure | DecodeFailure]:
        """`z [n, d]` -> n crystals (primitive cells). Greedy, so `seed` has no effect."""
        codes = self.codes(z, within=within)
        crystals = iter(self.representation.reconstruct([c for c in codes if isinstance(c, WyckoffCode)]))
        return [next(crystals) if isinstance(code, WyckoffCode) else code for code in codes]

    def codes(self, z: Tensor, *, within: SearchSpace | None = None) -> list[WyckoffCode | DecodeFailure]:
        """`z [n, d]` -> n codes, what `decode` builds its crystals from."""
        return decode_codes(self.network, self._raw(z).float().to(self.device), Grammar(within) if within is not None else unrestricted())

    def log_prior(self, z: Tensor) -> Tensor:
        """Standard normal log density, `[n]` nats."""
        return -0.5 * (z**2).sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)

    def predict(self, z: Tensor) -> dict[str, Tensor]:
        """The linear property head: property -> `[n]` in its own unit."""
        with torch.no_grad():
            standard = self.network.properties(self._raw(z).float().to(self.device))
            values = standard * self.network.property_std + self.network.property_mean
        return {name: values[:, i].double().cpu() for i, name in enumerate(self.property_names)}

    def _whiten(self, raw: Tensor) -> Tensor:
        scale, mean = self.network.white_scale.cpu(), self.network.white_mean.cpu()
        return torch.linalg.solve_triangular(scale, (raw - mean).T, upper=False).T

    def _raw(self, z: Tensor) -> Tensor:
        scale, mean = self.network.white_scale.cpu(), self.network.white_mean.cpu()
        return z.double().cpu() @ scale.T + mean
