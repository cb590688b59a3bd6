"""The list of stable compounds: what is bundled, and how it is made of two releases of the Materials Project."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from optimizer.known_formulas import known_formulas
from optimizer.stable_phase_build import corners, fit_change, lowest, main, roles
from optimizer.stable_phases import COLUMNS, stable_phases, write_stable_phases


def test_the_bundled_list_has_what_every_chemist_knows():
    listed = stable_phases()
    energies = dict(zip(listed.formulas, listed.formation_ev_atom.tolist(), strict=True))
    assert len(energies) == len(listed) > 30_000
    assert energies["MgO"] == pytest.approx(-3.1, abs=0.2)
    assert energies["NaCl"] == pytest.approx(-2.1, abs=0.2)
    assert energies["ZnSe"] == pytest.approx(-0.9, abs=0.2)
    assert {"TiN", "HfN", "Mg3N2"} <= energies.keys() <= known_formulas()
    assert listed.fractions.shape == (len(listed), 103)


def test_corners_are_the_phases_on_the_hull_and_the_nearest_of_a_pair_without_any():
    formulas = ["NaCl", "NaCl3", "Na2Cl", "AgW", "AgW3", "KCl"]
    energies = np.array([-2.0, -1.5, -0.5, 0.3, 0.2, -2.1])
    assert [formulas[i] for i in corners(formulas, energies)] == ["NaCl", "NaCl3", "AgW3", "KCl"]


def test_a_change_of_corrections_is_found_whatever_was_recomputed():
    formulas = [f"{metal}{anion}" for metal in ("Ca", "Sr", "Ba", "Zn", "Cd", "Mg") for anion in ("O", "Se", "S", "Te")]
    change = np.array([-0.2 * ("Se" in f) + 0.05 * ("S" in f and "Se" not in f) for f in formulas])
    change[3] = -0.4  # its crystal is another one now
    predicted = fit_change(formulas, change).predict(roles(["HgSe", "HgO", "FeO"]))
    assert predicted == pytest.approx([-0.2, 0.0, 0.0], abs=0.01)


def test_roles_tell_anions_and_metals_with_a_hubbard_u():
    oxide, carbide = roles(["Fe2O3", "Fe3C"])
    assert sorted(oxide[oxide > 0].tolist()) == pytest.approx([0.4, 0.6, 0.6])  # iron beside oxygen, oxygen twice
    assert not carbide.any()


def test_it_is_built_from_two_tables_the_same_each_time(tmp_path: Path):
    metals = ("Ca", "Sr", "Ba", "Zn", "Cd", "Mg", "Be")
    old = [f"{metal}Se,-1.0" for metal in metals] + ["Ca2Se,-0.3", "PoO2,-1.0", "Ca,0.0"]
    new = [f"{metal}Se,-1.2,0.0" for metal in metals] + ["CaSe,-1.1,0.1"]
    (tmp_path / "old.csv").write_text("\n".join(["formula,formation_energy_per_atom", *old]) + "\n")
    (tmp_path / "new.csv").write_text("\n".join(["formula,formation_energy_per_atom,e_above_hull", *new]) + "\n")
    arguments = ["--formulas", tmp_path / "old.csv", "--data", tmp_path / "new.csv", "--out", tmp_path / "list.csv.gz"]
    main([str(each) for each in arguments])
    rows = gzip.decompress((tmp_path / "list.csv.gz").read_bytes()).decode().splitlines()
    assert rows[0] == ",".join(COLUMNS)
    found = dict(row.split(",") for row in rows[1:])
    # polonium has no reference energy, calcium is an element, Ca2Se lies above the hull
    assert found.keys() == {f"{metal}Se" for metal in metals}
    assert float(found["CaSe"]) == pytest.approx(-1.2, abs=0.01)
    assert lowest(tmp_path / "new.csv", stable=True)["CaSe"] == -1.2
    assert write_stable_phases({f: float(e) for f, e in found.items()}) == (tmp_path / "list.csv.gz").read_bytes()
