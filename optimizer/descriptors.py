"""What a chemist knows of a crystal before anything is computed, as numbers for the surrogate beside z.

Composition: mean and mean absolute deviation of elemental properties (Magpie; Ward et al., npj Comput. Mater. 2, 16028,
2016, through matminer), in units of their spread over the elements. Known phases: the formation energy of their hull at
the composition, and how many pairs of elements it knows nothing of. Structure: see `optimizer.bonding`.
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
from optimizer.bonding import COLUMNS, bonding
from optimizer.known_hull import known_hull
from optimizer.references import ReferenceTable
from optimizer.row_memory import rows_of

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
    "HeatVaporization",
    "BulkModulus",
    "ElectronAffinity",
    "FirstIonizationEnergy",
)
KNOWN_HULL = 2 * len(ELEMENTAL)  # column of the known hull's formation energy, eV/atom
N_COMPOSITION = KNOWN_HULL + 2
N_BONDING = len(COLUMNS)


@cache
def _table() -> NDArray[np.float64]:
    """Elemental properties, `[103, p]`; those Magpie lacks are the mean over the elements."""
    source = MagpieData(impute_nan=False)
    table = np.array([[source.get_elemental_property(Element(s), name) for name in ELEMENTAL] for s in SYMBOLS], float)
    return np.where(np.isnan(table), np.nanmean(table, axis=0), table)


def elemental_spread() -> NDArray[np.float64]:
    """Standard deviation of each elemental property over the elements, `[p]`: the unit of its columns."""
    return _table().std(axis=0)


def descriptors(crystals: Sequence[Structure], references: ReferenceTable) -> Tensor:
    """`[n, N_COMPOSITION + N_BONDING]` float64: means, mean absolute deviations, formation energy of the known hull
    (eV/atom; 0 where an element has no reference energy), number of its sparse edges, then the bonding columns.

    A row follows from its crystal and the references alone, to the last bit, and is computed once in a process.
    """
    return rows_of(crystals, ("descriptors", references.version), lambda some: _described(some, references))


def _described(crystals: Sequence[Structure], references: ReferenceTable) -> Tensor:
    table, hull = _table(), known_hull(references)
    scaled = table / elemental_spread()
    rows = np.zeros((len(crystals), N_COMPOSITION))
    for row, crystal in zip(rows, crystals, strict=True):
        amounts = crystal.composition.fractional_composition.get_el_amt_dict()
        share = np.array(list(amounts.values()))
        properties = scaled[[SYMBOLS.index(symbol) for symbol in amounts]]
        mean = share @ properties
        row[: len(ELEMENTAL)] = mean
        row[len(ELEMENTAL) : KNOWN_HULL] = share @ np.abs(properties - mean)
        row[KNOWN_HULL:] = hull.at(amounts)
    volumes = table[:, ELEMENTAL.index("GSvolume_pa")]
    return torch.from_numpy(np.concatenate([rows, bonding(crystals, volumes)], axis=1))
