import numpy as np
import pytest
from pymatgen.core import Composition

from optimizer.elemental_references import elemental_references
from optimizer.formulas import atomic_fractions
from optimizer.known_hull import Systems, known_hull
from optimizer.references import ReferenceTable


@pytest.mark.parametrize(
    "formula", ["NaCl", "SrTiO3", "Ca(HoSe2)2", "Li3Fe2(PO4)3", "Cs2AuAt3", "CuZn", "NaCaAlSiFeO6"]
)
def test_agrees_with_the_phase_diagram(formula):
    table, composition = ReferenceTable.load(), Composition(formula)
    found, sparse = known_hull(table).at(composition.fractional_composition.get_el_amt_dict())
    distance = table.hull_distance(composition, 0.0)
    if not hasattr(distance, "value_ev_atom"):
        assert (found, sparse) == (0.0, 0)
        return
    expected = elemental_references().formation_energy(composition, -distance.value_ev_atom)
    assert found == pytest.approx(expected, abs=1e-9)
    assert sparse == len(distance.sparse_edges)


def test_groups_in_formulas_are_multiplied_out():
    row = atomic_fractions(["Ca(HoSe2)2"])[0]
    assert sorted(row[row > 0].tolist()) == pytest.approx([1 / 7, 2 / 7, 4 / 7])


@pytest.mark.parametrize("n_elements", [1, 3, 20])
def test_systems_hold_what_has_no_other_element(n_elements):
    rng = np.random.default_rng(0)
    fractions = np.zeros((300, 103))
    for row in fractions:
        row[rng.choice(30, rng.integers(1, 5), replace=False)] = 1.0
    places = rng.choice(30, n_elements, replace=False)
    others = np.delete(fractions, places, axis=1)
    assert Systems(fractions).inside(places).tolist() == np.flatnonzero(~others.any(axis=1)).tolist()
