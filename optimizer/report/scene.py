"""A crystal as the page's viewer draws it: the atoms in and on the faces of one cell, bonds, edges of the cell.

The cell is the conventional one, which people know by sight; the CIF keeps the cell that was measured.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.data.colors import jmol_colors
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from optimizer.cif import conventional_cell

ON_FACE = 0.02  # of a lattice vector: closer to a face an atom is drawn on the opposite one too
BOND_STRETCH = 1.15  # bonded up to so many times the sum of the covalent radii
MOST_ATOMS = 400
MOST_CONVENTIONAL = 100  # sites; a larger conventional cell is a crowd
EDGES = [(a, b) for a in range(8) for b in range(8) if a < b and bin(a ^ b).count("1") == 1]


def scene(crystal: Structure) -> dict[str, Any]:
    """JSON-able. `kinds` are symbol, colour (Jmol's) and radius in angstrom, `atoms` x, y, z and the place of their
    kind, `bonds` pairs of atoms, `edges` pairs of `corners`; the centre of the cell is the origin. `conventional` is
    true where another cell than the crystal's is drawn.

    Covalent radii: B. Cordero et al., Dalton Trans. 2832 (2008), as ASE has them.
    """
    shown = _for_the_eye(crystal)
    lattice = np.asarray(shown.lattice.matrix)
    symbols, places = _with_faces(shown)
    centre = lattice.sum(axis=0) / 2
    xyz = places @ lattice - centre
    kinds = list(dict.fromkeys(symbols))
    corners = np.array(list(product((0, 1), repeat=3))) @ lattice - centre
    return {
        "kinds": [_kind(symbol) for symbol in kinds],
        "atoms": [
            [*(round(float(value), 3) for value in at), kinds.index(symbol)]
            for at, symbol in zip(xyz, symbols, strict=True)
        ],
        "bonds": _bonds(symbols, xyz),
        "corners": [[round(float(value), 3) for value in at] for at in corners],
        "edges": EDGES,
        "conventional": len(shown) != len(crystal),
    }


def _for_the_eye(crystal: Structure) -> Structure:
    found = conventional_cell(crystal)
    return found if len(found) <= MOST_CONVENTIONAL else crystal


def _kind(symbol: str) -> dict[str, Any]:
    number = atomic_numbers[symbol]
    colour = "#" + "".join(f"{round(255 * channel):02x}" for channel in jmol_colors[number])
    return {"symbol": symbol, "colour": colour, "radius": round(float(covalent_radii[number]), 3)}


def _with_faces(crystal: Structure) -> tuple[list[str], NDArray[np.float64]]:
    """Atoms of the cell, and their images on its other faces, edges and corners; the cell alone where they are many."""
    symbols, places = [], []
    for site in crystal:
        inside = np.mod(np.asarray(site.frac_coords), 1.0)
        inside[inside > 1 - ON_FACE] -= 1.0
        shifts = [(0, 1) if abs(value) < ON_FACE else (0,) for value in inside]
        for shift in product(*shifts):
            symbols.append(site.specie.symbol)
            places.append(inside + np.array(shift))
    if len(symbols) > MOST_ATOMS:
        return [site.specie.symbol for site in crystal][:MOST_ATOMS], np.mod(crystal.frac_coords, 1.0)[:MOST_ATOMS]
    return symbols, np.array(places)


def _bonds(symbols: list[str], xyz: NDArray[np.float64]) -> list[list[int]]:
    """Pairs nearer than BOND_STRETCH allows; metals not to each other where a nonmetal is there to bond to."""
    radii = np.array([covalent_radii[atomic_numbers[symbol]] for symbol in symbols])
    distances = np.linalg.norm(xyz[:, None] - xyz[None, :], axis=-1)  # [n, n]
    near = (distances < BOND_STRETCH * (radii[:, None] + radii[None, :])) & (distances > 0.1)
    metal = np.array([Element(symbol).is_metal for symbol in symbols])
    if not metal.all():
        near &= ~(metal[:, None] & metal[None, :])
    return [[int(a), int(b)] for a, b in zip(*np.nonzero(np.triu(near)), strict=True)]
