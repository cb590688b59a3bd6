"""Building a reference table: from crystals with any potential, resumed from its checkpoint, the same bytes twice."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from pymatgen.core import Composition, Lattice, Structure

from campaigns.errors import UserError
from optimizer import reference_build
from optimizer.calculators import CalculatorParams
from optimizer.reference_build import build_references
from optimizer.references import ReferenceTable

CHGNET = CalculatorParams()
EMT = CalculatorParams(calculator="ase.calculators.emt:EMT")
CRYSTALS = {
    "mine-2": Structure.from_spacegroup(225, Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "mine-1": Structure.from_spacegroup(229, Lattice.cubic(4.2), ["Na"], [[0, 0, 0]]),
    "lone": Structure(Lattice.cubic(30), ["K"], [[0, 0, 0]]),
    "mixed": Structure(Lattice.cubic(3), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]]),
}
METALS = {
    "copper": Structure.from_spacegroup(225, Lattice.cubic(3.7), ["Cu"], [[0, 0, 0]]),
    "gold": Structure.from_spacegroup(225, Lattice.cubic(4.1), ["Au"], [[0, 0, 0]]),
    "alloy": Structure(Lattice.tetragonal(2.8, 3.7), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
}


def write(path: Path, crystals: dict[str, Structure]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif"])
        writer.writerows((name, crystal.to(fmt="cif")) for name, crystal in crystals.items())
    return path


def test_a_table_is_built_and_can_be_loaded(tmp_path):
    data, out = write(tmp_path / "known.csv", CRYSTALS), tmp_path / "table.csv.gz"
    report = build_references(data, out, CHGNET)
    assert (report.rows, report.energies, report.fingerprints) == (3, 2, 3)
    assert list(report.refused) == ["mixed"]
    table = ReferenceTable.load(out)
    assert table.material_ids == ("lone", "mine-1", "mine-2")
    assert table.potential == "chgnet-0.3.0"
    assert table.space_groups.tolist() == [221, 229, 225]
    assert table.fingerprints[2].startswith("225:ClNa:")
    assert table.energies_ev_atom[2] == pytest.approx(-3.67, abs=0.05)
    assert table.energies_ev_atom[0] != table.energies_ev_atom[0]  # an isolated atom has no CHGNet energy
    distance = table.hull_distance(Composition("NaCl"), table.energies_ev_atom[2])
    assert distance.value_ev_atom == pytest.approx(0, abs=1e-5)
    first = out.read_bytes()
    build_references(data, out, CHGNET)
    assert out.read_bytes() == first


def test_another_potential_has_its_own_elements_as_zero(tmp_path):
    out = tmp_path / "emt.csv.gz"
    report = build_references(write(tmp_path / "metals.csv", METALS), out, EMT, relaxed=True)
    assert report.elements_without_energy == ()
    table = ReferenceTable.load(out)
    assert table.potential.startswith("ase.calculators.emt:EMT")
    gold, copper = table.elements.energy_ev_atom["Au"], table.elements.energy_ev_atom["Cu"]
    assert table.hull_distance(Composition("Cu3Au"), (gold + 3 * copper) / 4 + 1).value_ev_atom > 0.9
    assert table.hull_distance(Composition("Cu"), copper).value_ev_atom == 0
    lattice = [c for c in table.crystals if '"Cu"' in c and '"Au"' not in c]
    assert len(lattice) == 1
    partly = build_references(write(tmp_path / "alloy.csv", {"alloy": METALS["alloy"]}), tmp_path / "a.csv.gz", EMT)
    assert partly.elements_without_energy == ("Au", "Cu")


def test_what_the_checkpoint_holds_is_not_computed_again(tmp_path, monkeypatch):
    out = tmp_path / "t.csv.gz"
    build_references(write(tmp_path / "two.csv", {n: METALS[n] for n in ("copper", "gold")}), out, EMT)
    asked = []
    compute = reference_build._energies
    monkeypatch.setattr(reference_build, "_energies", lambda batch, *rest: asked.extend(batch) or compute(batch, *rest))
    build_references(write(tmp_path / "three.csv", METALS), out, EMT)
    assert [crystal.formula for crystal in asked] == ["Cu1 Au1"]


def test_own_tables_stand_beside_the_bundled_one(tmp_path):
    cesium = Structure.from_spacegroup(221, Lattice.cubic(4.5), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    build_references(write(tmp_path / "mine.csv", {"mine": cesium}), tmp_path / "mine.csv.gz", EMT)
    bundled = ReferenceTable.load()
    both = ReferenceTable.load(own=[tmp_path / "mine.csv.gz"])
    assert len(both) == len(bundled) + 1
    assert both.version != bundled.version
    assert not both.energies_ev_atom[-1] > -100  # another potential's energy is no corner of this hull
    strained = cesium.copy()
    strained.apply_strain([0.02, 0, 0])  # tetragonal now, but the same to a structure matcher
    found = both.novelty(strained)
    assert (found.new, found.nearest, found.basis) == (False, "mine CuAu (221)", "structure")
    assert bundled.novelty(strained).nearest != found.nearest


def test_what_cannot_be_built_is_refused_in_one_line(tmp_path):
    data = write(tmp_path / "mixed.csv", {"mixed": CRYSTALS["mixed"]})
    with pytest.raises(UserError, match="holds no crystal that can be read"):
        build_references(data, tmp_path / "t.csv.gz", EMT)
    with pytest.raises(UserError, match="cannot be imported"):
        build_references(data, tmp_path / "t.csv.gz", CalculatorParams(calculator="nobody.s:Potential"))
    with pytest.raises(UserError, match="a table is a CSV"):
        build_references(data, tmp_path / "t.json", EMT)
