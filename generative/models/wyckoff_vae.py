"""The bundled generator: a variational autoencoder over canonical Wyckoff sequences.

Latents at the interface are whitened: over the training crystals they have zero mean and unit covariance, so the
prior is N(0, I). Decoding at temperature 0 is greedy, hence a function of z and the search space alone.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from pymatgen.core import Structure
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from campaigns.records import FailureCode
from campaigns.search_space import SearchSpace
from campaigns.spec import Strict
from generative.alignment import descend
from generative.augmentation import Augmentation, substitute
from generative.batches import to_batch
from generative.canonical import WyckoffCode
from generative.datasets import MAX_ORBITS, Codes, stack
from generative.decoding import decode_codes
from generative.evaluation import shortest_distance
from generative.grammar import Grammar, unrestricted
from generative.networks import VaeNetwork, version_of_weights
from generative.protocols import Alignment, DecodeFailure, EncodeFailure, GeneratorContext
from generative.refinement import BATCH, REPLAYED, retrained
from generative.representations.wyckoff import Params as WyckoffParams
from generative.representations.wyckoff import WyckoffRepresentation, crystal_of
from generative.threads import one_thread

HELD_OUT = "held_out.npz"
SHARED_SITES = ("decoder.sites.", "blurred.decoder.sites.")  # the embedding of sites, stored with the encoder
RELATIVE = Augmentation(distant=0.0, rearrange=0.2, coordinates=0.0, lengths=0.0, angles_deg=0.0)
CLOSEST_ANG = 0.5  # two atoms nearer than this are no crystal to learn from


class Params(Strict):
    """Which weights to use."""

    weights: str = Field(
        "bundled", description="`bundled`, or a folder of `optimize train`, relative to the campaign file."
    )
    refine_steps: int = Field(200, ge=1, le=100_000, description="Batches of 64 crystals in one refinement.")


def build(params: Params, context: GeneratorContext | None = None) -> WyckoffVae:
    """On the CPU where there is no context. Raises ValueError where the weights are missing."""
    context = context or GeneratorContext(torch.device("cpu"))
    folder = bundled_weights() if params.weights == "bundled" else Path(context.folder) / params.weights
    return replace(WyckoffVae.load(folder, context.device), refine_steps=params.refine_steps)


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
    held_out_codes: Codes | None = None
    refine_steps: int = 200

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> WyckoffVae:
        """Read `model.safetensors` and `settings.json`, which hold numbers and no code.

        Raises ValueError naming the folder where one is missing or is something else.
        """
        weights, settings = folder / "model.safetensors", folder / "settings.json"
        if not (weights.exists() and settings.exists()):
            raise ValueError(f"weights: {str(folder)!r} holds no model.safetensors with settings.json; use `bundled`")
        try:
            return cls._read(folder, weights.read_bytes(), json.loads(settings.read_text("utf-8")), device)
        except (SafetensorError, KeyError, TypeError, AttributeError, ValueError, RuntimeError, OSError) as error:
            why = " ".join(str(error).split())[:200]
            raise ValueError(f"weights: {str(folder)!r} holds no generator of this version: {why}") from error

    @classmethod
    def _read(cls, folder: Path, data: bytes, config: dict[str, Any], device: torch.device) -> WyckoffVae:
        state = load(data)
        network = VaeNetwork(
            latent=config["latent"],
            width=config["width"],
            heads=config["heads"],
            layers=config["layers"],
            n_properties=len(config["properties"]),
            element_features=state["encoder.sites.element_features"],
            denoiser=config["denoiser"],
        )
        network.load_state_dict(_with_shared_sites(state))
        network.to(device).eval().requires_grad_(False)
        return cls(
            network,
            WyckoffRepresentation(WyckoffParams(symprec_ang=config["symprec_ang"])),
            version_of_weights(data),
            tuple(config["properties"]),
            int(config["latent"]),
            device,
            Codes.load(folder / HELD_OUT) if (folder / HELD_OUT).exists() else None,
        )

    def encode(self, xs: Sequence[Structure]) -> list[Tensor | EncodeFailure]:
        """Whitened latent means, each `[d]` float64 on the CPU; same length and order."""
        answers, kept = self._featurized(xs)
        if kept:
            for i, z in zip(kept, self._whiten(self._means(stack(list(kept.values())))), strict=True):
                answers[i] = z
        return answers

    def _featurized(self, xs: Sequence[Structure]) -> tuple[list[Any], dict[int, WyckoffCode]]:
        """A list with the failures in place and None elsewhere, and the codes of the others by index."""
        answers: list[Any] = [None] * len(xs)
        kept: dict[int, WyckoffCode] = {}
        for i, code in enumerate(self.representation.featurize(xs)):
            if isinstance(code, EncodeFailure):
                answers[i] = code
            elif len(code.positions) > MAX_ORBITS:
                why = f"{len(code.positions)} orbits exceed the model's {MAX_ORBITS}"
                answers[i] = EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, why)
            else:
                kept[i] = code
        return answers, kept

    def _means(self, codes: Codes) -> Tensor:
        """Latent means before whitening, `[n, d]` float64 on the CPU."""
        with torch.no_grad():
            return self.network.encoder(to_batch(codes, self.device))[0].double().cpu()

    def latents(self, codes: Codes, size: int = 512) -> Tensor:
        """Whitened latent means of codes, `[n, d]` float64 on the CPU."""
        parts = [self._means(codes.take(np.arange(i, min(i + size, len(codes))))) for i in range(0, len(codes), size)]
        return self._whiten(torch.cat(parts))

    def decode(
        self, z: Tensor, *, within: SearchSpace | None = None, seed: int = 0, temperature: float = 0.0
    ) -> list[Structure | DecodeFailure]:
        """`z [n, d]` -> n crystals (primitive cells); greedy at temperature 0, where `seed` has no effect."""
        codes = self.codes(z, within=within, seed=seed, temperature=temperature)
        crystals = iter(self.representation.reconstruct([c for c in codes if isinstance(c, WyckoffCode)]))
        return [next(crystals) if isinstance(code, WyckoffCode) else code for code in codes]

    def codes(
        self, z: Tensor, *, within: SearchSpace | None = None, seed: int = 0, temperature: float = 0.0
    ) -> list[WyckoffCode | DecodeFailure]:
        """`z [n, d]` -> n codes, what `decode` builds its crystals from."""
        grammar = unrestricted() if within is None else Grammar(within)
        raw = self._raw(z)
        return decode_codes(self.network, raw, grammar, temperature=temperature, seed=seed)

    def relatives(self, z: Tensor, *, within: SearchSpace | None = None, seed: int = 0) -> Tensor:
        """`z [n, d]` -> the encoder's means of relatives of what they decode to; see `generative.augmentation`."""
        rng, grammar = np.random.default_rng(seed), unrestricted() if within is None else Grammar(within)
        allowed = tuple(np.flatnonzero(grammar.allowed).tolist())
        volumes = np.exp(3 * self.network.decoder.element_volume.weight[:, 0].double().cpu().numpy())
        found, kept = z.clone(), {}
        for i, code in enumerate(self.codes(z, within=within)):
            if isinstance(code, WyckoffCode) and (changed := substitute(code, rng, volumes, allowed, RELATIVE)):
                kept[i] = changed
        kept = {i: code for i, code in kept.items() if len(code.positions) <= MAX_ORBITS}
        if kept:
            found[list(kept)] = self._whiten(self._means(stack(list(kept.values()))))
        return found

    def log_prior(self, z: Tensor) -> Tensor:
        """Standard normal log density, `[n]` nats."""
        return -0.5 * (z**2).sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)

    def predict(self, z: Tensor) -> dict[str, Tensor]:
        """The linear property head: property -> `[n]` in its own unit."""
        with torch.no_grad():
            standard = self.network.properties(self._raw(z))
            values = standard * self.network.property_std + self.network.property_mean
        return {name: values[:, i].double().cpu() for i, name in enumerate(self.property_names)}

    def align(self, xs: Sequence[Structure], *, within: SearchSpace | None = None) -> list[Alignment | EncodeFailure]:
        """A latent that decodes to each crystal; see `generative.alignment`."""
        answers, kept = self._featurized(xs)
        if kept:
            codes = list(kept.values())
            means = self._means(stack(codes))
            for i, (raw, found, steps) in zip(kept, descend(self.network, codes, means, Grammar(within)), strict=True):
                answers[i] = Alignment(self._whiten(raw[None])[0], found, steps)
        return answers

    @one_thread()
    def refine(self, xs: Sequence[Structure], weights: Sequence[float], *, seed: int) -> WyckoffVae:
        """Retrained on `xs` and as many samples of this generator; see `generative.refinement`."""
        _, kept = self._featurized(xs)
        used = {i: code for i, code in kept.items() if weights[i] > 0}
        if not used:
            raise ValueError("no crystal of positive weight can be encoded")
        samples = self._replay(min(REPLAYED, self.refine_steps * BATCH), seed)
        labels = self.network.properties(self._means(samples).float().to(self.device)).cpu()
        network = retrained(
            self.network,
            list(used.values()),
            [weights[i] for i in used],
            samples,
            labels,
            steps=self.refine_steps,
            seed=seed,
        )
        return self._with(network)

    def _replay(self, n: int, seed: int) -> Codes:
        """Of n samples of this generator those whose atoms keep their distance."""
        noise = torch.Generator().manual_seed(seed)
        drawn = self.codes(torch.randn(n, self.latent_dim, generator=noise, dtype=torch.float64))
        return stack([code for code in drawn if isinstance(code, WyckoffCode) and _apart(code)])

    def held_out(self) -> list[Structure]:
        """Crystals kept from training and shipped with the weights."""
        codes = self.held_out_codes
        crystals = [] if codes is None else [crystal_of(codes.code(i)) for i in range(len(codes))]
        return [x for x in crystals if isinstance(x, Structure)]

    def serialized(self) -> bytes:
        """safetensors; equal to the file `model.safetensors` these weights were read from."""
        return save(network_state(self.network))

    def restored(self, data: bytes) -> WyckoffVae:
        """This generator with other weights of the same shape."""
        network = copy.deepcopy(self.network)
        try:
            network.load_state_dict(_with_shared_sites(load(data)))
        except (SafetensorError, RuntimeError, KeyError) as error:
            raise ValueError(f"these are no weights of this generator: {str(error).splitlines()[0]}") from error
        return self._with(network)

    def _with(self, network: VaeNetwork) -> WyckoffVae:
        return replace(self, network=network, version=version_of_weights(save(network_state(network))))

    def _whiten(self, raw: Tensor) -> Tensor:
        return self.network.whitened(raw.to(self.device)).cpu()

    def _raw(self, z: Tensor) -> Tensor:
        return self.network.unwhitened(z.to(self.device)).float()


def network_state(network: VaeNetwork) -> dict[str, Tensor]:
    """What is stored of a network: the encoder and both decoders share the embedding of sites."""
    return {
        name: each.cpu().contiguous()
        for name, each in network.state_dict().items()
        if not name.startswith(SHARED_SITES)
    }


def _apart(code: WyckoffCode) -> bool:
    crystal = crystal_of(code)
    return isinstance(crystal, Structure) and shortest_distance(crystal) > CLOSEST_ANG


def _with_shared_sites(state: dict[str, Tensor]) -> dict[str, Tensor]:
    sites = {k.removeprefix("encoder.sites."): v for k, v in state.items() if k.startswith("encoder.sites.")}
    return state | {prefix + name: each for prefix in SHARED_SITES for name, each in sites.items()}
