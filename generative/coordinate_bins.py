"""A free coordinate as a density on periodic bins: its loss, and the place that the density stands for."""

from __future__ import annotations

import math

import torch
from torch import Tensor

N_BINS = 64
KAPPA = 180.0  # von Mises concentration of a target: a standard deviation of 0.012 periods


def coordinate_loss(logits: Tensor, coords: Tensor) -> Tensor:
    """Cross entropy against a von Mises density on N_BINS periodic bins, minus its entropy; 0 is a perfect answer.

    `logits [..., 3, N_BINS]`, `coords [..., 3]` -> `[..., 3]` nats.
    """
    centres = torch.arange(N_BINS, device=coords.device) / N_BINS
    weight = KAPPA * (torch.cos(2 * math.pi * (coords[..., None] - centres)) - 1)
    target = torch.softmax(weight, dim=-1)
    entropy = -(target * torch.log_softmax(weight, dim=-1)).sum(-1)
    return -(target * torch.log_softmax(logits, dim=-1)).sum(-1) - entropy


def coordinate_mode(logits: Tensor) -> Tensor:
    """The periodic mean of the five bins around the most probable one: `[..., bins]` -> `[...]` in [0, 1)."""
    best = logits.argmax(-1, keepdim=True)
    offsets = torch.arange(-2, 3, device=logits.device)
    weight = torch.softmax(logits.gather(-1, (best + offsets) % N_BINS), dim=-1)
    return ((best[..., 0] + (weight * offsets).sum(-1)) / N_BINS) % 1.0
