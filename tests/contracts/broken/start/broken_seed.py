"""Draws from fresh entropy: the same campaign begins elsewhere every time."""

from __future__ import annotations

import numpy as np
from optimizer.starts.sound_prototypes import Params, RockSalts

__all__ = ["Params", "build"]


class Unseeded(RockSalts):
    def randomness(self, seed):
        return np.random.default_rng()


def build(params, context):
    return Unseeded()
