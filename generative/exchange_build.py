"""Build `generative/data/exchanges.npz` from pymatgen's table of ionic substitutions: run once, commit it.

    python -m generative.exchange_build

Asking that table anew takes a second of every process that proposes, and its sums run over sets, whose order is another
in each, and so are the last digits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from campaigns.elements import SYMBOLS

OUTPUT = Path(__file__).parent / "data" / "exchanges.npz"


def exchange_weights() -> NDArray[np.float64]:
    """How often elements take each other's place in known compounds, by atomic numbers, `[104, 104]`.

    The pair probabilities of G. Hautier et al. (Inorg. Chem. 50, 656, 2011) through pymatgen, summed over ions of equal
    charge.
    """
    from pymatgen.analysis.structure_prediction.substitution_probability import SubstitutionProbability

    table = SubstitutionProbability()
    ions = sorted(table.species, key=str)
    weights = np.zeros((len(SYMBOLS) + 1, len(SYMBOLS) + 1))
    for ion in ions:
        for other in ions:
            if ion.oxi_state == other.oxi_state and ion.element != other.element:
                weights[ion.Z, other.Z] += table.prob(ion, other)
    return weights


if __name__ == "__main__":
    np.savez_compressed(OUTPUT, weights=exchange_weights())
