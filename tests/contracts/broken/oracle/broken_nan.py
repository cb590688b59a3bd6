"""Answers what it cannot measure with NaN."""

from __future__ import annotations

import time

from optimizer.oracles.sound_edge import Edge, Params

from campaigns.records import Measured

__all__ = ["Params", "build"]


class NotANumber(Edge):
    version = "broken_nan-1"

    def evaluate(self, xs, *, seed):
        for index, crystal in enumerate(xs):
            started = time.monotonic()
            value = float(crystal.lattice.a) if crystal.is_ordered else float("nan")
            yield index, Measured({"edge_ang": value}, crystal, seconds=time.monotonic() - started)


def build(params, context):
    return NotANumber()
