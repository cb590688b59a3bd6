"""Rock salts of random metals. Keeps what the suite asks for."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Lattice, Structure

from campaigns.spec import Strict
from optimizer.protocols import StartCrystal


class Params(Strict):
    """Nothing to choose."""


class RockSalts:
    limit = 4
    allow_known = True

    def crystals(self, generator, space, *, seed):
        rng = self.randomness(seed)
        for _ in range(20):
            metal = str(rng.choice(["Li", "Na", "Mg", "Ca", "Fe", "Ni"]))
            edge = 2.8 + 0.4 * rng.random()
            cell = Lattice.from_parameters(edge, edge, edge, 60, 60, 60)
            crystal = Structure(cell, [metal, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
            yield StartCrystal(crystal, source="rock salt")

    def randomness(self, seed):
        return np.random.default_rng(seed)


def build(params, context):
    return RockSalts()
