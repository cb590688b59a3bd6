"""Orbits as vectors: what their position, their element and their free coordinates say.

Shapes: B crystals, K orbits (padded), W model width.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from campaigns.elements import SYMBOLS
from generative.batches import Batch
from generative.sites import MAX_POSITIONS
from generative.symmetry import space_group

N_ELEMENTS = len(SYMBOLS) + 1  # index 0 is padding


def _site_tables() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Per space group and position: exists `[231, 27]`, free slots `[231, 27, 3]`, features `[231, 27, 6]`, and the
    template (linear part, then sine and cosine of the shift and of its double) `[231, 27, 21]`."""
    exists = torch.zeros(231, MAX_POSITIONS, dtype=torch.bool)
    free = torch.zeros(231, MAX_POSITIONS, 3)
    features = torch.zeros(231, MAX_POSITIONS, 6)
    template = torch.zeros(231, MAX_POSITIONS, 21)
    for number in range(1, 231):
        group = space_group(number)
        largest = int(group.multiplicities.max())
        for j, position in enumerate(group.positions):
            exists[number, j] = True
            free[number, j, list(position.free)] = 1
            size = int(group.multiplicities[j])
            features[number, j] = torch.tensor(
                [math.log(size), math.log(largest / size), len(position.free), *free[number, j].tolist()]
            )
            angles = 2 * math.pi * np.concatenate([position.shift, 2 * position.shift])
            template[number, j] = torch.tensor(
                np.concatenate([position.linear.ravel(), np.sin(angles), np.cos(angles)]), dtype=torch.float32
            )
    return exists, free, features, template


class SiteEmbedding(nn.Module):
    """Embeds (space group, position), elements and free coordinates; shared by encoder and decoder."""

    exists: Tensor
    free: Tensor
    features: Tensor
    template: Tensor
    element_features: Tensor

    def __init__(self, width: int, element_features: Tensor) -> None:
        super().__init__()
        for name, table in zip(("exists", "free", "features", "template"), _site_tables(), strict=True):
            self.register_buffer(name, table, persistent=False)
        self.register_buffer("element_features", element_features)
        self.position = nn.Embedding(231 * MAX_POSITIONS, width)
        self.position_features = nn.Linear(6, width)
        self.position_template = nn.Linear(21, width, bias=False)
        self.element = nn.Embedding(N_ELEMENTS, width)
        self.element_linear = nn.Linear(element_features.shape[1], width)
        self.coordinate = nn.Linear(3 * 8, width)
        nn.init.normal_(self.position.weight, std=0.1)
        nn.init.normal_(self.element.weight, std=0.1)
        nn.init.zeros_(self.position_template.weight)

    def of_positions(self, space_group: Tensor, positions: Tensor) -> Tensor:
        """`[B]`, `[B, K]` -> `[B, K, W]`."""
        number = space_group[:, None].expand_as(positions)
        return (
            self.position(number * MAX_POSITIONS + positions)
            + self.position_features(self.features[number, positions])
            + self.position_template(self.template[number, positions])
        )

    def of_group(self, space_group: Tensor) -> Tensor:
        """All positions of each space group, `[B, 27, W]`."""
        every = torch.arange(MAX_POSITIONS, device=space_group.device).expand(len(space_group), -1)
        return self.of_positions(space_group, every)

    def all_elements(self) -> Tensor:
        """`[N_ELEMENTS, W]`."""
        return self.element.weight + self.element_linear(self.element_features)

    def of_coords(self, space_group: Tensor, positions: Tensor, coords: Tensor) -> Tensor:
        """Periodic features of the free coordinates, `[B, K, W]`."""
        angles = 2 * math.pi * coords[..., None] * torch.tensor([1.0, 2.0, 4.0, 8.0], device=coords.device)
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1)  # [B, K, 3, 8]
        free = self.free[space_group[:, None].expand_as(positions), positions]
        return self.coordinate((waves * free[..., None]).flatten(-2))

    def forward(self, batch: Batch) -> Tensor:
        """`[B, K, W]`."""
        return (
            self.of_positions(batch.space_group, batch.positions)
            + self.all_elements()[batch.elements]
            + self.of_coords(batch.space_group, batch.positions, batch.coords)
        )
