"""Compositions and crystals as numbers for a predictor, by matminer.

Composition: Magpie's statistics of elemental properties and norms of the stoichiometry (L. Ward et al., npj Comput.
Mater. 2, 16028 (2016)), 138 columns. Structure: matminer's density, volume per atom and packing fraction, the number of
the space group, and how many atoms the primitive cell holds. None depends on how the crystal is written down.
"""

from __future__ import annotations

import logging
from functools import cache, lru_cache
from typing import Any

import moyopy
import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure

VERSION = "features-1"
SYMPREC_ANG = 0.05

SMALLEST_ANG3, SHORTEST_ANG = 0.5, 0.8  # volume per atom, edge: below, moyopy may search for ever among the images


def _not_about_supercells(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Omitted ")


# moyopy warns, for every supercell, that its orbits are those of the primitive cell: just what is wanted here
logging.getLogger("moyo").addFilter(_not_about_supercells)


def composition_features(composition: Composition) -> NDArray[np.float64]:
    """`[138]`. Raises ValueError for a composition with anything but elements in it."""
    return _of_formula(composition.reduced_formula)


def crystal_features(crystal: Structure) -> NDArray[np.float64]:
    """`[143]`. Raises ValueError for a crystal that is disordered, empty or no crystal at all."""
    if not (len(crystal) and crystal.is_ordered and np.isfinite(crystal.frac_coords).all()):
        raise ValueError("there is no atom, a site of several elements or a coordinate that is no number")
    if crystal.volume < SMALLEST_ANG3 * len(crystal) or min(crystal.lattice.abc) < SHORTEST_ANG:
        raise ValueError("no crystal has a cell as small")
    of_composition = composition_features(crystal.composition)
    cell = moyopy.Cell(crystal.lattice.matrix.tolist(), crystal.frac_coords.tolist(), list(crystal.atomic_numbers))
    try:
        symmetry = moyopy.MoyoDataset(cell, symprec=SYMPREC_ANG)
        group, n_primitive = symmetry.number, len(symmetry.prim_std_cell.numbers)
    except (ValueError, RuntimeError):  # moyopy's way to say that no group fits at this tolerance
        group, n_primitive = 1, len(crystal)
    _, density = _featurizers()
    return np.array([*of_composition, *density.featurize(crystal), group, n_primitive], dtype=np.float64)


@cache
def _featurizers() -> tuple[tuple[Any, ...], Any]:
    from matminer.featurizers.composition import ElementProperty, Stoichiometry  # seconds
    from matminer.featurizers.structure import DensityFeatures

    return (ElementProperty.from_preset("magpie", impute_nan=True), Stoichiometry()), DensityFeatures()


@lru_cache(maxsize=4096)
def _of_formula(formula: str) -> NDArray[np.float64]:
    composition = Composition(formula)
    of_composition, _ = _featurizers()
    try:
        values = [value for featurizer in of_composition for value in featurizer.featurize(composition)]
    except (KeyError, AttributeError) as error:
        raise ValueError(f"{formula} has no features: {error}") from error
    return np.array(values, dtype=np.float64)
