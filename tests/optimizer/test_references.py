"""The table of known crystals: hull distances, novelty, reading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Composition, Lattice, Structure

from campaigns.errors import UserError
from campaigns.records import Failed, FailureCode
from generative.protocols import EncodeFailure
from optimizer import references
from optimizer.elemental_references import elemental_references
from optimizer.reference_files import COLUMNS
from optimizer.references import LISTED, ReferenceTable
from optimizer.stable_phases import StablePhases, stable_phases

ELEMENTS = elemental_references().energy_ev_atom
NACL = "225:ClNa:4a-Na,4b-Cl"


def _energy(formula: str, formation: float) -> float:
    return formation - elemental_references().formation_energy(Composition(formula), 0.0)


@pytest.fixture
def table(tmp_path: Path) -> ReferenceTable:
    rows = [
        ("mp-1", "NaCl", 225, NACL, _energy("NaCl", -2.0)),
        ("mp-2", "NaCl", 221, "221:ClNa:1a-Na,1b-Cl", _energy("NaCl", -1.9)),
        ("mp-3", "KCl", 225, "225:ClK:4a-K,4b-Cl", _energy("KCl", -2.2)),
        ("mp-4", "Na", 229, "229:Na:2a-Na", ELEMENTS["Na"] - 0.5),
        ("mp-5", "MgO", 225, "225:MgO:4a-Mg,4b-O", None),
    ]
    lines = [",".join(COLUMNS)] + [
        f'{name},{formula},{group},"{code}",{"" if energy is None else energy}'
        for name, formula, group, code, energy in rows
    ]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return replace(ReferenceTable.load(path), listed=StablePhases())


def _rock_salt(a: str, b: str, edge: float = 5.6) -> Structure:
    return Structure.from_spacegroup(225, Lattice.cubic(edge), [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_distances_are_signed_and_do_not_count_the_crystal_itself(table):
    above = table.hull_distance(Composition("Na4Cl4"), _energy("NaCl", -1.8))
    assert above.value_ev_atom == pytest.approx(0.2)
    below = table.hull_distance(Composition("NaCl"), _energy("NaCl", -2.3))
    assert below.value_ev_atom == pytest.approx(-0.3)
    between = table.hull_distance(Composition("Na3Cl"), _energy("Na3Cl", -0.5))
    assert between.value_ev_atom == pytest.approx(0.5)  # half way from sodium (0) to NaCl (-2)


def test_a_listed_phase_is_a_corner_unless_a_crystal_of_the_table_is_it(table):
    listed = StablePhases(("NaCl", "NaCl3", "KCl"), np.array([-2.04, -1.6, -2.5]))
    more = replace(table, listed=listed)
    names = {(phase.material_id, phase.formula): phase.energy_ev_atom for phase in more.entries({"Na", "Cl"})}
    assert names.keys() == {("mp-1", "NaCl"), ("mp-2", "NaCl"), (LISTED, "NaCl3")}
    assert names[LISTED, "NaCl3"] == pytest.approx(_energy("NaCl3", -1.6))
    above = more.hull_distance(Composition("NaCl3"), _energy("NaCl3", -1.0))
    assert (above.value_ev_atom, above.decomposes_to) == (pytest.approx(0.6), (f"NaCl3 ({LISTED})",))
    lower = more.hull_distance(Composition("KCl"), _energy("KCl", -2.2))  # the crystal is another polymorph
    assert (lower.value_ev_atom, lower.n_known_phases) == (pytest.approx(0.3), 2)
    without = more.hull_distance(Composition("NaCl"), _energy("NaCl", -1.9), without="mp-1")
    assert without.decomposes_to == ("NaCl (mp-2)",)  # what is left out does not come back as a listed phase


def test_stable_phases_take_part_where_the_potential_is_on_their_scale(tmp_path):
    line = "mp-1,NaCl,225,,-3.5"
    (tmp_path / "ours.csv").write_text(f"{','.join(COLUMNS)}\n{line}\n")
    (tmp_path / "other.csv").write_text(f"{','.join(COLUMNS)},potential\n{line},emt-1\n")
    ours, other = ReferenceTable.load(tmp_path / "ours.csv"), ReferenceTable.load(tmp_path / "other.csv")
    assert {phase.formula for phase in ours.entries({"Mg", "N", "O"})} >= {"Mg3N2", "MgO"}
    assert other.entries({"Mg", "N", "O"}) == ()
    assert ours.version.endswith(f"+{stable_phases().version}")


def test_a_distance_says_what_it_rests_on(table):
    known = table.hull_distance(Composition("NaCl"), -3.0)
    assert (known.n_known_phases, known.sparse) == (2, False)
    mixed = table.hull_distance(Composition("NaKCl2"), -3.0)
    assert (mixed.n_known_phases, mixed.sparse_edges) == (3, ("K-Na",))
    assert mixed.sparse
    unknown = table.hull_distance(Composition("MgO"), _energy("MgO", -3.0))
    assert (unknown.n_known_phases, unknown.sparse_edges) == (0, ("Mg-O",))  # its one phase has no energy
    assert unknown.value_ev_atom == pytest.approx(-3.0)


def test_elements_are_measured_against_their_reference(table):
    distance = table.hull_distance(Composition("Na"), ELEMENTS["Na"] + 0.1)
    assert distance.value_ev_atom == pytest.approx(0.1)
    assert not distance.sparse


def test_an_element_without_reference_energy_fails(table):
    outcome = table.hull_distance(Composition("PoO2"), -3.0)
    assert isinstance(outcome, Failed)
    assert outcome.code == FailureCode.NO_REFERENCE


def test_entries_are_the_compounds_of_a_chemical_system(table):
    assert {phase.material_id for phase in table.entries({"Na", "Cl", "K"})} == {"mp-1", "mp-2", "mp-3"}
    assert {phase.formula for phase in table.entries(["Na", "Cl"])} == {"NaCl"}
    assert table.entries({"Na"}) == ()


def test_a_known_crystal_is_known_in_any_cell_and_origin(table):
    crystal = _rock_salt("Na", "Cl")
    crystal.translate_sites(range(len(crystal)), [0.3, 0.1, 0.2])
    crystal.make_supercell([1, 2, 1])
    novelty = table.novelty(crystal)
    assert (novelty.new, novelty.nearest, novelty.distance) == (False, "mp-1 NaCl (225)", 0.0)
    assert novelty.basis == "fingerprint"
    assert table.is_known(NACL) == ("mp-1",)
    assert table.is_known("1:H:1a-H") == ()


def test_the_nearest_known_material_of_a_new_one_shares_its_chemistry(table):
    novelty = table.novelty(_rock_salt("Rb", "Cl"))
    assert (novelty.new, novelty.nearest, novelty.basis) == (True, "mp-3 KCl (225)", "composition")
    assert 0 < novelty.distance < 2
    other_cell = Structure.from_spacegroup(216, Lattice.cubic(5), ["Na", "Cl"], [[0, 0, 0], [0.25] * 3])
    novelty = table.novelty(other_cell)
    assert (novelty.new, novelty.nearest, novelty.distance) == (True, "mp-1 NaCl (225)", 0.0)


def test_same_formula_and_space_group_on_other_positions_is_new(table):
    open_framework = Structure.from_spacegroup(225, Lattice.cubic(12.0), ["Na", "Cl"], [[0.21, 0, 0], [0, 0.25, 0.25]])
    novelty = table.novelty(open_framework)
    assert novelty.new
    assert novelty.basis == "formula and space group"


def test_without_a_fingerprint_the_formula_decides_and_it_is_said(table, monkeypatch):
    failure = EncodeFailure(FailureCode.ENCODE_NO_SYMMETRY, "none")
    monkeypatch.setattr(references, "fingerprint", lambda crystal: failure)
    known = table.novelty(_rock_salt("Na", "Cl"))
    assert (known.new, known.basis) == (False, "formula only")
    assert table.novelty(_rock_salt("Rb", "Cl")).new


def test_the_bundled_table_knows_a_rock_salt_and_a_hull():
    table = ReferenceTable.load()
    assert len(table) > 17_000
    assert not table.novelty(_rock_salt("Pr", "O", 5.1)).new
    distance = table.hull_distance(Composition("LiFePO4"), _energy("LiFePO4", -2.0))
    assert distance.n_known_phases > 20
    on_hull = [table.hull_distance(Composition(f), 0.0) for f in ("NaCl", "MgO", "SiO2")]
    assert all(not d.sparse for d in on_hull)


def test_no_known_compound_lies_below_its_own_hull():
    table = ReferenceTable.load()
    compounds = table.entries({"Li", "Fe", "P", "O", "Si", "Mg"})
    assert len(compounds) > 50
    for phase in compounds:
        distance = table.hull_distance(Composition(phase.formula), phase.energy_ev_atom)
        assert distance.value_ev_atom > -1e-6


def test_a_table_that_is_missing_or_lacks_a_column_is_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        ReferenceTable.load(tmp_path / "none.csv")
    (tmp_path / "bad.csv").write_text("material_id,formula\nmp-1,NaCl\n")
    with pytest.raises(UserError, match="lacks the column space_group"):
        ReferenceTable.load(tmp_path / "bad.csv")
