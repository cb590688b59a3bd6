"""Length of the cell's first edge. Keeps what the suite asks for."""

from __future__ import annotations

from campaigns.records import Measured, Property
from campaigns.spec import Strict
from optimizer.measuring import one_by_one


class Params(Strict):
    """Nothing to choose."""


class Edge:
    version = "sound_edge-1"
    properties = (Property("edge_ang", "angstrom", "Length of the first edge of the cell"),)
    nominal_seconds = 0.001

    def evaluate(self, xs, *, seed):
        return one_by_one(xs, self.measure)

    def measure(self, crystal):
        return Measured({"edge_ang": float(crystal.lattice.a)}, crystal)


def build(params, context):
    return Edge()
