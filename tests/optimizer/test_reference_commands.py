"""`optimize references` as a person calls it."""

from __future__ import annotations

import json

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.ext import matproj

from optimizer.references import ReferenceTable

EMT = "ase.calculators.emt:EMT"


def test_crystals_become_a_table_and_missing_elements_are_told(optimize, tmp_path):
    Structure(Lattice.tetragonal(2.8, 3.7), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(str(tmp_path / "a.cif"))
    code, out, _ = optimize("references", "build", "--data", "a.cif", "--out", "t.csv.gz", "--calculator", EMT)
    assert code == 0
    assert "1 crystals, 1 energies, 1 fingerprints" in out
    assert "No crystal of the element Au, Cu alone" in out
    assert ReferenceTable.load(tmp_path / "t.csv.gz").formulas == ("CuAu",)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["build", "--data", "none.csv", "--out", "t.csv.gz"], "none.csv: no such file"),
        (["build", "--data", "a.cif", "--out", "t.csv.gz", "--calculator", "emt"], "--calculator"),
        (["build", "--data", "a.cif", "--out", "t.csv.gz", "--calculator-args", "[1]"], "is no JSON object"),
        (["fetch", "Li-Xx", "--out", "mp.json"], "'Xx' is no element"),
        (["fetch", "Li-O", "--out", "mp.json"], "neither MP_API_KEY nor PMG_MAPI_KEY is set"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(optimize, monkeypatch, arguments, said):
    for name in ("MP_API_KEY", "PMG_MAPI_KEY"):
        monkeypatch.delenv(name, raising=False)
    code, _, err = optimize("references", *arguments)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_entries_of_the_materials_project_become_a_file_that_build_reads(optimize, monkeypatch, tmp_path):
    copper = Structure.from_spacegroup(225, Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]])
    asked = []

    def request(client: object, query: str) -> list[dict[str, object]]:
        asked.append(query.rpartition("=")[2])
        return [{"material_id": "mp-30", "structure": copper}] if query.endswith("=Cu") else []

    monkeypatch.setenv("MP_API_KEY", "k" * 32)
    monkeypatch.setattr(matproj.MPRester, "request", request)
    code, out, _ = optimize("references", "fetch", "Cu-Au", "--out", "mp.json")
    assert (code, asked) == (0, ["Au", "Au-Cu", "Cu"])
    assert "1 crystals" in out
    assert json.loads((tmp_path / "mp.json").read_text())[0]["material_id"] == "mp-30"
    optimize("references", "build", "--data", "mp.json", "--out", "t.csv.gz", "--calculator", EMT)
    assert ReferenceTable.load(tmp_path / "t.csv.gz").material_ids == ("mp-30",)


def test_a_refused_key_or_no_network_is_one_line(optimize, monkeypatch):
    def request(client: object, query: str) -> None:
        raise matproj.MPRestError("Connection refused\nby the other side")

    monkeypatch.setenv("MP_API_KEY", "k" * 32)
    monkeypatch.setattr(matproj.MPRester, "request", request)
    code, _, err = optimize("references", "fetch", "Cu", "--out", "mp.json")
    assert code == 2
    assert err.count("\n") == 1
    assert "Connection refused by the other side" in err
