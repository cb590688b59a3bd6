"""One crystal written down in several ways."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

WAYS = ("sites permuted", "origin shifted", "supercell", "another cell, rotated", "supercell of that")


def rewritten(x: Structure, rng: np.random.Generator) -> Iterator[Structure]:
    """`x` in the five `WAYS`, in their order."""
    yield Structure.from_sites([x[i] for i in rng.permutation(len(x))])
    shifted = x.copy()
    shifted.translate_sites(list(range(len(x))), rng.random(3))
    yield shifted
    yield x.make_supercell([[2, 0, 0], [0, 1, 0], [0, 0, 1]], in_place=False)
    basis = np.zeros((3, 3), dtype=np.int64)
    while abs(round(np.linalg.det(basis))) != 1:
        basis = rng.integers(-1, 2, (3, 3))
    turn = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix().T
    cell = Lattice(basis @ x.lattice.matrix @ turn)
    turned = Structure(cell, x.species, x.cart_coords @ turn, coords_are_cartesian=True)
    yield turned
    yield turned.make_supercell([[1, 0, 1], [0, 2, 0], [0, 0, 1]], in_place=False)
