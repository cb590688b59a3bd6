"""Draws from torch's global generator: the same campaign proposes something else every time."""

from __future__ import annotations

import torch
from optimizer.acquisition.sound_choice import Choice, Params

__all__ = ["Params", "build"]


class Unseeded(Choice):
    def order(self, n, seed):
        return torch.randperm(n)


def build(params, context=None):
    return Unseeded()
