"""What a chemist knows of a crystal before anything is computed, as numbers for the surrogate beside z.

Composition: mean and mean absolute deviation of elemental properties (Magpie; Ward et al., npj Comput. Mater. 2, 16028,
2016, through matminer). Structure: volume per atom, alone and relative to the elements' own volumes. Known phases: the
formation energy of their hull at the composition, and how many pairs of elements it knows nothing of.
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
from campaigns.records import Failed
from optimizer.elemental_references import elemental_references
from optimizer.references import ReferenceTable

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
VOLUME = ELEMENTAL.index("GSvolume_pa")
KNOWN_HULL = -2  # column of the known hull's formation energy
N_DESCRIPTORS = 2 * len(ELEMENTAL) + 4


@cache
def _table() -> NDArray[np.float64]:
    """Elemental properties, `[103, p]`; those Magpie lacks are the mean over the elements."""
    source = MagpieData(impute_nan=False)
    table = np.array([[source.get_elemental_property(Element(s), name) for name in ELEMENTAL] for s in SYMBOLS], float)
    return np.where(np.isnan(table), np.nanmean(table, axis=0), table)


def descriptors(crystals: Sequence[Structure], references: ReferenceTable) -> Tensor:
    """`[n, N_DESCRIPTORS]` float64: means, mean absolute deviations, log volume per atom (log cubic angstrom), the log
    of its ratio to the mean volume of the elements, formation energy of the known hull (eV/atom; 0 where an element
    has no reference energy), number of its sparse edges."""
    table, rows = _table(), np.zeros((len(crystals), N_DESCRIPTORS))
    for row, crystal in zip(rows, crystals, strict=True):
        amounts = crystal.composition.get_el_amt_dict()
        share = np.array(list(amounts.values())) / sum(amounts.values())
        properties = table[[SYMBOLS.index(symbol) for symbol in amounts]]
        mean = share @ properties
        volume = crystal.volume / len(crystal)
        row[: len(ELEMENTAL)] = mean
        row[len(ELEMENTAL) : 2 * len(ELEMENTAL)] = share @ np.abs(properties - mean)
        hull = references.hull_distance(crystal.composition, 0.0)
        known = (0.0, 0.0)
        if not isinstance(hull, Failed):
            at_hull = elemental_references().formation_energy(crystal.composition, -hull.value_ev_atom)
            known = (at_hull, float(len(hull.sparse_edges)))
        row[-4:] = np.log(volume), np.log(volume / mean[VOLUME]), *known
    return torch.from_numpy(rows)
