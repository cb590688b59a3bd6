"""Write a trained network as a folder: safetensors, settings, and a model card with the figures that were measured."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from generative.datasets import Codes
from generative.evaluation import code_agreement, held_out_crystals, prior_samples, reconstruction
from generative.models.wyckoff_vae import HELD_OUT, WyckoffVae, network_state
from generative.networks import VaeNetwork
from generative.training import encode_codes
from generative.training_set import TrainingSet, counted_reasons
from generative.training_settings import TrainingSettings

CARD = "card.json"
HELD_OUT_CRYSTALS = 300
UNSTATED = "unstated by the user"
ELEMENT_FEATURES = "Magpie (L. Ward et al., npj Comput. Mater. 2, 16028, 2016) through matminer"


@dataclass(frozen=True)
class Provenance:
    """What the card says of data and run: name and SHA-256 of the crystals, whom to credit, what to beware of."""

    data: str
    data_sha256: str
    attribution: str | None
    licence: str | None
    warnings: tuple[str, ...]
    seconds: float
    prior: Mapping[str, Any] = field(default_factory=dict)  # the crystals that the prior was fitted to, and how long


def write_bundle(
    out: Path,
    network: VaeNetwork,
    settings: TrainingSettings,
    found: TrainingSet,
    provenance: Provenance,
    *,
    samples: int = 1000,
) -> None:
    """Weights, settings, a sample of held-out crystals and the card into `out`; the reloaded files give the figures.

    The card is written last: where it stands, the rest is complete.
    """
    (out / "model.safetensors").write_bytes(save(network_state(network)))
    sample_of(found.held, HELD_OUT_CRYSTALS, settings.seed).save(out / HELD_OUT)
    config = {**asdict(settings), "properties": list(found.property_names)}
    (out / "settings.json").write_text(json.dumps(config, indent=1) + "\n")
    generator = WyckoffVae.load(out, torch.device("cpu"))
    n_held, n_train = len(found.held), len(found.train)
    card = {
        "model": "wyckoff_vae",
        "version": generator.version,
        "parameters": sum(p.numel() for p in network.parameters()),
        "data": provenance.data,
        "data_sha256": provenance.data_sha256,
        "split": found.split,
        "crystals": {
            "train": n_train,
            "held_out": n_held,
            "watched": 0 if found.watched is None else len(found.watched),
            "at_most_atoms": settings.max_atoms,
        },
        "refused": {"rows": len(found.refused), "reasons": counted_reasons(found.refused)},
        "warnings": list(provenance.warnings),
        "epochs": settings.epochs,
        "training_seconds": round(provenance.seconds),
        "prior": dict(provenance.prior) | {"held_out_taken_for_blurred": taken_for_blurred(generator, found.held)},
        **held_out_figures(generator, found.held, found.held_labels),
        "prior_samples": asdict(prior_samples(generator, samples, 0)),
        "element_features": ELEMENT_FEATURES,
        "licence": provenance.licence or UNSTATED,
        "attribution": provenance.attribution or UNSTATED,
    }
    fresh = out / f"{CARD}.tmp"
    fresh.write_text(json.dumps(card, indent=1) + "\n")
    os.replace(fresh, out / CARD)


def taken_for_blurred(generator: WyckoffVae, held: Codes) -> float:
    """Share of held-out encodings that go to the decoder of blurred latents."""
    with torch.no_grad():
        raw = encode_codes(generator.network, held).float()
        return float((generator.network.blurred.blur_logit(raw) > 0).float().mean())


def trained_with(folder: Path) -> TrainingSettings:
    """The settings stored beside the weights; what a later version added is as it was before."""
    stored = json.loads((folder / "settings.json").read_text("utf-8"))
    known = {field.name for field in fields(TrainingSettings)}
    return TrainingSettings(**{"watched": 0.0} | {name: value for name, value in stored.items() if name in known})


def sample_of(codes: Codes, n: int, seed: int) -> Codes:
    """At most n of the codes, drawn without replacement, in their order."""
    chosen = np.random.default_rng(seed).choice(len(codes), min(n, len(codes)), replace=False)
    return codes.take(np.sort(chosen))


def held_out_figures(generator: WyckoffVae, held: Codes, labels: NDArray[np.float64]) -> dict[str, Any]:
    """Reconstruction, agreement of codes and mean absolute property errors; `labels [n, p]`, NaN where unknown."""
    crystals = held_out_crystals(held)
    latents = dict(zip(crystals, generator.encode(list(crystals.values())), strict=True))
    encoded = {i: z for i, z in latents.items() if isinstance(z, torch.Tensor)}
    z = torch.stack(list(encoded.values()))
    predicted, errors = generator.predict(z), {}
    for column, name in enumerate(generator.property_names):
        error = np.abs(predicted[name].numpy() - labels[list(encoded), column])
        errors[f"{name}_mae"] = float(np.nanmean(error)) if np.isfinite(error).any() else None
    return {
        "held_out_reconstruction": asdict(reconstruction(generator, list(crystals.values()))),
        "held_out_codes": asdict(code_agreement([held.code(i) for i in encoded], generator.codes(z))),
        "held_out_property_error": errors,
    }
