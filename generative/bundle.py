"""Write a trained network as a folder: safetensors, settings, and a model card with the figures that were measured."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from campaigns.errors import UserError
from generative.datasets import Codes
from generative.evaluation import code_agreement, held_out_crystals, prior_samples, reconstruction
from generative.models.wyckoff_vae import WyckoffVae
from generative.networks import VaeNetwork

if TYPE_CHECKING:
    from generative.training import TrainingSettings

HELD_OUT = "held_out.npz"
HELD_OUT_CRYSTALS = 300
LICENCE = "MIT (weights). Training data: Materials Project, CC BY 4.0."
ATTRIBUTION = (
    "Trained on crystals and formation energies of the Materials Project (A. Jain et al., APL Materials 1, 011002, "
    "2013; CC BY 4.0), in the selections MP-20 (Xie et al., ICLR 2022) and MPTS-52 (Baird et al., JOSS 2024). Element "
    "features: Magpie (L. Ward et al., npj Comput. Mater. 2, 16028, 2016) through matminer."
)


def write_bundle(
    out: Path,
    network: VaeNetwork,
    settings: TrainingSettings,
    train: Codes,
    held: Codes,
    held_labels: NDArray[np.float64],
    properties: list[str],
    *,
    data: str,
    seconds: float,
    samples: int = 1000,
) -> None:
    """Weights, settings, card and a sample of held-out crystals into `out`; the reloaded files give the figures."""
    state = {name: t.contiguous() for name, t in network.state_dict().items() if not name.startswith("decoder.sites.")}
    save_file(state, out / "model.safetensors")
    sample_of(held, HELD_OUT_CRYSTALS, settings.seed).save(out / HELD_OUT)
    config = {**asdict(settings), "properties": properties}
    (out / "settings.json").write_text(json.dumps(config, indent=1) + "\n")
    generator = WyckoffVae.load(out, torch.device("cpu"))
    card = {
        "model": "wyckoff_vae",
        "version": generator.version,
        "parameters": sum(p.numel() for p in network.parameters()),
        "data": data,
        "split": f"{settings.held_out:.0%} of reduced formulas held out, none on both sides, seed {settings.seed}",
        "crystals": {"train": len(train), "held_out": len(held), "at_most_atoms": settings.max_atoms},
        "epochs": settings.epochs,
        "training_seconds": round(seconds),
        **held_out_figures(generator, held, held_labels),
        "prior_samples": asdict(prior_samples(generator, samples, 0)),
        "licence": LICENCE,
        "attribution": ATTRIBUTION,
    }
    (out / "card.json").write_text(json.dumps(card, indent=1) + "\n")


def sample_of(codes: Codes, n: int, seed: int) -> Codes:
    """At most n of the codes, drawn without replacement, in their order."""
    chosen = np.random.default_rng(seed).choice(len(codes), min(n, len(codes)), replace=False)
    return codes.take(np.sort(chosen))


def held_out_sample(folder: Path) -> Codes:
    """The sample of held-out crystals that a bundle carries, at most 300. Raises UserError where it has none."""
    if not (folder / HELD_OUT).exists():
        raise UserError(f"{folder}: holds no {HELD_OUT}.", "Train again with `optimize train`.")
    return Codes.load(folder / HELD_OUT)


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
