"""What decides a generator's weights, apart from the data. `optimize train --set NAME=VALUE` changes any of it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

MEANING = "meaning"


def _setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={MEANING: meaning})


@dataclass(frozen=True)
class TrainingSettings:
    """`meanings` says what each is."""

    latent: int = _setting(64, "dimensions of the latent space")
    width: int = _setting(128, "of the transformers")
    heads: int = _setting(4, "of attention")
    layers: int = _setting(3, "of encoder and decoder each")
    dropout: float = _setting(0.0, "in the transformers")
    epochs: int = _setting(60, "passes over the crystals, at most")
    batch: int = _setting(192, "crystals in a step")
    learning_rate: float = _setting(1.5e-3, "the highest, reached after a fiftieth of the epochs; a cosine follows")
    weight_decay: float = _setting(0.01, "of AdamW")
    beta: float = _setting(0.008, "weight of the KL term, reached after a tenth of the epochs")
    relatives: int = _setting(2, "substituted crystals per crystal and epoch; each set of them serves three epochs")
    property_weight: float = _setting(0.5, "of the labels beside the reconstruction")
    max_atoms: int = _setting(20, "in a primitive cell")
    held_out: float = _setting(0.1, "share of formulas that training never sees, to judge by")
    watched: float = _setting(0.03, "share of the rest that decides when to stop")
    patience: int = _setting(12, "epochs without a better reconstruction of the watched crystals")
    symprec_ang: float = _setting(0.1, "tolerance of the symmetry search (angstrom)")
    seed: int = _setting(0, "decides the split and the weights")
    prior_steps: int = _setting(3000, "of fitting the decoder of blurred latents")
    prior_batch: int = _setting(256, "crystals in such a step")
    blur_low: float = _setting(0.6, "how far latents are blurred there, at least; 1 leaves nothing of them")
    blur_high: float = _setting(0.93, "and at most")
    denoiser: int = _setting(512, "width of what moves a blurred latent towards encodings")
    start: str = _setting("", "version of the weights that training started from; set by `--start`")


def meanings() -> dict[str, tuple[Any, str]]:
    """Name -> default and meaning."""
    return {each.name: (each.default, each.metadata[MEANING]) for each in fields(TrainingSettings)}
