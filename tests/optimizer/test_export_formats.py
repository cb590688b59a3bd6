"""The list in every format, read back by the programs it is for."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import ase.db
import ase.io
import pandas as pd
import pytest
from pymatgen.core import Structure

from campaigns.records import Candidate, Measured, StageOutcome
from campaigns.spec import load_spec, parse_spec
from campaigns.store import CampaignStore
from optimizer.crystal_files import read_crystals

FCC = [[0.0, 2.8, 2.8], [2.8, 0.0, 2.8], [2.8, 2.8, 0.0]]
FORMULAS = ("TmI", "TmBr")


@pytest.fixture
def run_folder(tmp_path) -> Path:
    """A campaign of two measured candidates."""
    spec = parse_spec(
        {
            "name": "small",
            "oracles": ["relax", "bulk_modulus"],
            "objectives": {"bulk_modulus_gpa": "maximize"},
            "budget": {"oracle_calls": 4},
        }
    )
    folder = tmp_path / "runs" / "small"
    with CampaignStore.create(folder, spec, provenance={"latentore": "0.1.0"}) as store:
        crystals = {anion: Structure(FCC, ["Tm", anion], [[0, 0, 0], [0.5] * 3]) for anion in ("Br", "I")}
        candidates = [Candidate(f"000-{anion}", 0, "prior", each, None, "v1") for anion, each in crystals.items()]
        store.finish_phase(0, "propose", candidates=candidates)
        for number, (anion, crystal) in enumerate(crystals.items()):
            values = {"bulk_modulus_gpa": 50.0 + number, "energy": -3.0}  # a word that ASE keeps for itself
            stiff = Measured(values, crystal, seconds=2.0)
            store.record(f"000-{anion}", [StageOutcome("bulk_modulus", "1", stiff)])
    return folder


def exported(optimize, run_folder, formats, *more) -> Path:
    code, _, err = optimize("export", "small", "--format", formats, *more)
    assert (code, err) == (0, "")
    return run_folder / "export"


def test_an_ase_database_is_searched_by_property(optimize, run_folder):
    folder = exported(optimize, run_folder, "ase-db")
    assert [path.name for path in folder.iterdir()] == ["candidates.db"]
    with ase.db.connect(folder / "candidates.db") as database:
        rows = list(database.select("bulk_modulus_gpa>50.5"))
    assert [(row.rank, row.candidate, row.formula) for row in rows] == [(1, "000-I", "TmI")]
    assert rows[0].energy_ == -3.0
    assert rows[0].data["arm"] == "prior"
    assert rows[0].toatoms().cell.volume == pytest.approx(2 * 2.8**3)


def test_the_json_holds_crystals_for_pymatgen(optimize, run_folder):
    folder = exported(optimize, run_folder, "json")
    document = json.loads((folder / "ranking.json").read_text("utf-8"))
    crystals = [Structure.from_dict(each["structure"]) for each in document["candidates"]]
    assert [each.composition.reduced_formula for each in crystals] == list(FORMULAS)


@pytest.mark.parametrize("name", ["ranking.json", "candidates.db", "candidates.extxyz"])
def test_a_list_is_read_as_crystals_with_values_again(optimize, run_folder, name):
    folder = exported(optimize, run_folder, "json, ase-db, extxyz")
    found = list(read_crystals(folder / name))
    assert [each.crystal.composition.reduced_formula for each in found] == list(FORMULAS)
    assert [each.columns["bulk_modulus_gpa"] for each in found] == [51.0, 50.0]


@pytest.mark.parametrize(("formats", "beside"), [("zip", []), ("zip,csv,cif,json,extxyz", ["candidates.extxyz"])])
def test_the_zip_holds_all_that_a_colleague_needs(optimize, run_folder, tmp_path, formats, beside):
    folder = exported(optimize, run_folder, formats)
    assert [path.name for path in folder.glob("*.extxyz")] == beside
    with zipfile.ZipFile(folder / "small.zip") as archive:
        archive.extractall(tmp_path / "mail")
    (place,) = (tmp_path / "mail").iterdir()
    assert sorted(path.name for path in place.iterdir()) == [
        *("README.txt", "campaign.yaml", "candidates.extxyz", "cif", "ranking.csv", "ranking.json")
    ]
    table = pd.read_csv(place / "ranking.csv")
    assert list(table["formula"]) == list(FORMULAS)
    assert len(Structure.from_file(str(place / table["file"][0]))) == 2
    assert len(ase.io.read(place / "candidates.extxyz", index=":")) == 2
    assert load_spec(place / "campaign.yaml").name == "small"
    assert "small: 2 candidates" in (place / "README.txt").read_text("utf-8")


def test_the_note_in_the_zip_names_what_lies_beside_it(optimize, run_folder, tmp_path):
    folder = exported(optimize, run_folder, "csv,ase-db,zip")
    with zipfile.ZipFile(folder / "small.zip") as archive:
        note = archive.read("small/README.txt").decode()
        names = {Path(name).parts[1] for name in archive.namelist()} - {"README.txt"}
    listed = {line.split()[0] for line in note.split("\n\n")[1].splitlines()}
    assert listed == names == {"campaign.yaml", "ranking.csv", "candidates.db"}


def test_an_unknown_format_names_those_there_are(optimize, run_folder):
    for given in ("csv,xlsx", ""):
        code, out, err = optimize("export", "small", "--format", given)
        assert (code, out) == (2, "")
        assert "choose one of csv, json, cif, extxyz, ase-db, zip" in err
    assert not (run_folder / "export").exists()


def test_another_folder_is_replaced_only_where_it_holds_a_list(optimize, run_folder, tmp_path):
    for _ in range(2):
        exported(optimize, run_folder, "csv,cif", "--out", "list")
    assert sorted(path.name for path in (tmp_path / "list").iterdir()) == ["cif", "ranking.csv"]
    (tmp_path / "list" / "thesis.txt").write_text("years of work")
    code, _, err = optimize("export", "small", "--out", "list")
    assert code == 2
    assert "list: holds 'thesis.txt', and would be replaced" in err
    assert (tmp_path / "list" / "thesis.txt").exists()
