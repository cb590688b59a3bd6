"""What a chemist knows of a crystal before anything is computed, as numbers for the surrogate beside z.

Composition: mean and mean absolute deviation of elemental properties (Magpie; Ward et al., npj Comput. Mater. 2, 16028,
2016, through matminer). Structure: volume per atom, alone and relative to the elements' own volumes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from matminer.utils.data import MagpieData
from numpy.typing import NDArray
from pymatgen.core import Element, Structure
from torch import Tensor

from campaigns.elements import SYMBOLS

ELEMENTAL = (
    "MendeleevNumber",
    "Column",
    "Row",
    "MeltingT",
    "CovalentRadius",
    "Electronegativity",
    "NsValence",
    "NpValence",
    "NdValence",
    "NUnfilled",
    "GSvolume_pa",
)
VOLUME = ELEMENTAL.index("GSvolume_pa")
N_DESCRIPTORS = 2 * len(ELEMENTAL) + 2


@cache
def _table() -> NDArray[np.float64]:
    """Elemental properties, `[103, p]`; those Magpie lacks are the mean over the elements."""
    source = MagpieData(impute_nan=False)
    table = np.array([[source.get_elemental_property(Element(s), name) for name in ELEMENTAL] for s in SYMBOLS], float)
    return np.where(np.isnan(table), np.nanmean(table, axis=0), table)


def descriptors(crystals: Sequence[Structure]) -> Tensor:
    """`[n, N_DESCRIPTORS]` float64: means, mean absolute deviations, log volume per atom (log cubic angstrom), and the
    log of its ratio to the mean volume of the elements."""
    table, rows = _table(), np.zeros((len(crystals), N_DESCRIPTORS))
    for row, crystal in zip(rows, crystals, strict=True):
        amounts = crystal.composition.get_el_amt_dict()
        share = np.array(list(amounts.values())) / sum(amounts.values())
        properties = table[[SYMBOLS.index(symbol) for symbol in amounts]]
        mean = share @ properties
        volume = crystal.volume / len(crystal)
        row[: len(ELEMENTAL)] = mean
        row[len(ELEMENTAL) : -2] = share @ np.abs(properties - mean)
        row[-2:] = np.log(volume), np.log(volume / mean[VOLUME])
    return torch.from_numpy(rows)
