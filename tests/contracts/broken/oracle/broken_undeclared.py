"""Measures a property that it never announced."""

from __future__ import annotations

from optimizer.oracles.sound_edge import Edge, Params

from campaigns.records import Measured

__all__ = ["Params", "build"]


class Talkative(Edge):
    version = "broken_undeclared-1"

    def measure(self, crystal):
        return Measured({"edge_ang": float(crystal.lattice.a), "angle_deg": float(crystal.lattice.alpha)}, crystal)


def build(params, context):
    return Talkative()
