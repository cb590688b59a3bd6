"""Who sits next to whom, as numbers for the surrogate: what composition cannot tell, such as which metal has the small
site.

Pairs of atoms count with (sum of their radii / distance)^6, so that contacts rule and no cutoff makes a step. Radii are
Slater's (J. Chem. Phys. 41, 3199, 1964), electronegativities Pauling's, both through pymatgen.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from campaigns.elements import SYMBOLS

COLUMNS = (
    "volume",
    "volume_of_elements",
    "charge_imbalance",
    "odd_electrons",
    "highest_electronegativity",
    "polarity",
    "polarity_spread",
    "shortest_contact",
    "contact",
    "crowding",
    "crowding_spread",
)
SCALES = np.array([0.4, 0.25, 0.4, 0.5, 0.5, 0.4, 0.3, 0.15, 0.15, 0.4, 0.3])
"""Rough standard deviations over known crystals of at most 10 atoms: the columns leave in units of these."""
IMAGES = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)])
MOST_IMBALANCE = 2.0  # charges an atom; beyond it two compositions are equally impossible
DEFAULT_RADIUS_ANG, DEFAULT_ELECTRONEGATIVITY = 1.5, 1.5

RADII = np.array([float(Element(s).atomic_radius or DEFAULT_RADIUS_ANG) for s in SYMBOLS])
STATES = [Element(s).common_oxidation_states or (0,) for s in SYMBOLS]
VALENCE = [Element(s).group for s in SYMBOLS]


@lru_cache(maxsize=1)
def _electronegativities() -> NDArray[np.float64]:
    """Pauling's, `[103]`; noble gases without any count as in the middle."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No Pauling electronegativity")
        found = np.array([Element(symbol).X for symbol in SYMBOLS])
    return np.where(np.isfinite(found), found, DEFAULT_ELECTRONEGATIVITY)


def bonding(crystals: Sequence[Structure], element_volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    """`[n, len(COLUMNS)]`, each in units of SCALES: log volume per atom, alone and over the mean of `element_volumes`
    (`[103]`, cubic angstrom per atom); the least charge per atom that common oxidation states leave; whether the
    formula's valence electrons are odd; the highest electronegativity; mean and deviation over atoms of the
    electronegativity difference to neighbours; shortest and mean contact over sums of radii; mean and deviation of the
    log number of neighbours.
    """
    rows = np.zeros((len(crystals), len(COLUMNS)))
    for row, crystal in zip(rows, crystals, strict=True):
        places = np.array([SYMBOLS.index(site.specie.symbol) for site in crystal])
        volume = crystal.volume / len(crystal)
        counted = tuple(zip(*(each.tolist() for each in np.unique(places, return_counts=True)), strict=True))
        row[:5] = (
            np.log(volume),
            np.log(volume / element_volumes[places].mean()),
            *_charges(counted),
            _electronegativities()[places].max(),
        )
        row[5:] = _neighbours(crystal, places)
    return rows / SCALES


@lru_cache(maxsize=65_536)
def _charges(counted: tuple[tuple[int, int], ...]) -> tuple[float, float]:
    """Least |charge| per atom over common oxidation states, one an element; 1 where the valence electrons are odd."""
    sums = {0.0}
    for place, count in counted:
        sums = {charge + count * state for charge in sums for state in STATES[place]}
    atoms = sum(count for _, count in counted)
    odd = sum(VALENCE[place] * count for place, count in counted) % 2
    return min(min(map(abs, sums)) / atoms, MOST_IMBALANCE), float(odd)


def _neighbours(crystal: Structure, places: NDArray[np.int64]) -> tuple[float, ...]:
    scaled = np.mod(crystal.frac_coords, 1.0)
    steps = scaled[None, :, None, :] + IMAGES[None, None] - scaled[:, None, None, :]
    distance = np.linalg.norm(steps @ crystal.lattice.matrix, axis=-1)
    sums = (RADII[places][:, None] + RADII[places][None])[..., None]
    ratio = np.where(distance < 1e-3, np.inf, distance / sums)  # an atom is not its own neighbour
    weight = ratio**-6.0
    chi = _electronegativities()[places]
    polarity = (weight * np.abs(chi[:, None] - chi[None])[..., None]).sum((1, 2)) / weight.sum((1, 2))
    nearest, crowding = ratio.min((1, 2)), np.log(weight.sum((1, 2)))
    return polarity.mean(), polarity.std(), nearest.min(), nearest.mean(), crowding.mean(), crowding.std()
