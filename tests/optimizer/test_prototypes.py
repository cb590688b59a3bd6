"""Structure types: what is in a fingerprint, and what a set of elements most likely takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Structure

from generative.representations.wyckoff import fingerprint
from optimizer.formulas import elements_of
from optimizer.prototypes import prototypes, type_of
from optimizer.references import ReferenceTable

ROCK_SALT = "225:4a-A,4b-B"


def test_a_type_is_a_fingerprint_without_its_elements():
    assert type_of("225:ClNa:4a-Na,4b-Cl") == (ROCK_SALT, ("Na", "Cl"))
    assert type_of("189:BaGa2:1a-Ba,2d-Ba,3f-Ga") == ("189:1a-A,2d-A,3f-B", ("Ba", "Ga"))


def test_a_type_with_elements_is_a_crystal_of_that_type_at_a_likely_volume():
    crystal = prototypes().crystal(ROCK_SALT, ("Mg", "O"))
    assert isinstance(crystal, Structure)
    assert type_of(fingerprint(crystal))[0] == ROCK_SALT
    assert crystal.volume / len(crystal) == pytest.approx(9.4, rel=0.5)  # 4.21 angstrom cubed, eight atoms


def test_what_the_table_of_the_hull_lacks_is_made_though_the_bundled_one_holds_it():
    """A hull of another potential starts from a table of one's own."""
    bundled = ReferenceTable.load()
    known = {type_of(bundled.fingerprints[row]) for row in bundled.rows_within(["Al", "Ni"])}
    element = [len(elements_of(formula)) == 1 for formula in bundled.formulas]
    own = replace(bundled, energies_ev_atom=np.where(element, bundled.energies_ev_atom, np.nan))
    made = {(d.prototype, d.elements) for d in prototypes().decorations(["Al", "Ni"], own)}
    assert ("225:4a-A,4b-B,8c-A", ("Ni", "Al")) in known & made


def test_perovskites_are_likeliest_for_their_elements_and_known_crystals_are_not_made_again():
    found = list(prototypes().decorations(["O", "Ti", "Ca"], ReferenceTable.load()))
    assert found[0].formula == "CaTiO3"
    assert found[0].prototype == "62:4a-A,4c-B,4c-C,8d-C"
    assert found[0].formula_known
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)
    assert list(prototypes().decorations(["Ca", "O", "Ti"], ReferenceTable.load())) == found
    decorated = {(d.prototype, d.elements) for d in prototypes().decorations(["Cu", "S"], ReferenceTable.load())}
    table = ReferenceTable.load()
    held = {
        code
        for phase, code in zip(table.formulas, table.fingerprints, strict=True)
        if elements_of(phase) == {"Cu", "S"}
    }
    assert held
    assert not decorated & {type_of(code) for code in held}
