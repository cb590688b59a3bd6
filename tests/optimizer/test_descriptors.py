import pytest
import torch
from pymatgen.core import Composition, Lattice, Structure

from optimizer.descriptors import ELEMENTAL, KNOWN_HULL, N_BONDING, N_COMPOSITION, descriptors, elemental_spread
from optimizer.elemental_references import elemental_references
from optimizer.references import ReferenceTable


@pytest.fixture(scope="module")
def rock_salt() -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_a_crystal_and_its_supercell_are_described_alike(rock_salt):
    found = descriptors([rock_salt, rock_salt * (2, 1, 1)], ReferenceTable.load())
    assert found.shape == (2, N_COMPOSITION + N_BONDING)
    assert torch.allclose(found[0], found[1], atol=0.02)  # contacts beyond the neighbouring cells are not counted


def test_means_and_deviations_are_weighted_by_composition(rock_salt):
    row = descriptors([rock_salt], ReferenceTable.load())[0]
    column = ELEMENTAL.index("Electronegativity")
    unit = elemental_spread()[column]
    assert row[column].item() * unit == pytest.approx((0.93 + 3.16) / 2, abs=0.01)
    assert row[len(ELEMENTAL) + column].item() * unit == pytest.approx((3.16 - 0.93) / 2, abs=0.01)


def test_the_known_hull_lies_no_higher_than_a_known_compound():
    table = ReferenceTable.load()
    formula, energy = table.formulas[0], float(table.energies_ev_atom[0])
    composition = Composition(formula)
    species = [el.symbol for el, n in composition.items() for _ in range(int(n))]
    crystal = Structure(Lattice.cubic(6.0), species, [[i / len(species)] * 3 for i in range(len(species))])
    row = descriptors([crystal], table)[0]
    own = elemental_references().formation_energy(composition, energy)
    assert -6 < row[KNOWN_HULL].item() <= own + 1e-6


def test_an_element_without_reference_energy_leaves_no_gap():
    astatine = Structure(Lattice.cubic(3.0), ["At"], [[0, 0, 0]])
    assert torch.isfinite(descriptors([astatine], ReferenceTable.load())).all()
