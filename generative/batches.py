"""Codes as the tensors that the networks take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from generative.datasets import Codes
from generative.lattice_shape import lattice_shape


@dataclass(frozen=True)
class Batch:
    """Codes as tensors: long `space_group [B]`, `n_orbits [B]`, `positions`/`elements [B, K]`; float
    `coords [B, K, 3]`, `shape [B, 6]` (log of the cube root of the volume per atom, then the five shape terms of
    SYSTEMS)."""

    space_group: Tensor
    n_orbits: Tensor
    positions: Tensor
    elements: Tensor
    coords: Tensor
    shape: Tensor

    @property
    def mask(self) -> Tensor:
        """True where an orbit is real, `[B, K]`."""
        return torch.arange(self.positions.shape[1], device=self.n_orbits.device) < self.n_orbits[:, None]


def to_batch(codes: Codes, device: torch.device) -> Batch:
    def long(x: np.ndarray) -> Tensor:
        return torch.as_tensor(x, dtype=torch.long, device=device)

    width = max(int(codes.n_orbits.max()), 1)
    return Batch(
        long(codes.space_group),
        long(codes.n_orbits),
        long(codes.positions[:, :width]),
        long(codes.elements[:, :width]),
        torch.as_tensor(codes.coords[:, :width], dtype=torch.float32, device=device),
        torch.as_tensor(lattice_shape(codes), dtype=torch.float32, device=device),
    )
