"""The exported list: order, uniqueness, novelty, and files that other programs read."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ase.io
import pandas as pd
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from campaigns.errors import UserError
from campaigns.records import Candidate, Failed, FailureCode, Measured, StageOutcome
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from optimizer.cif import space_group
from optimizer.export import export_campaign
from optimizer.references import Novelty
from optimizer.swap import replace_folder


def near(new: bool) -> Novelty:
    return Novelty(new, "mp-22862 NaCl (225)", 0.25, "composition")


def fcc(a: float) -> Lattice:
    return Lattice([[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]])


def rock_salt(cation: str, anion: str, a: float = 5.6) -> Structure:
    return Structure(fcc(a), [cation, anion], [[0, 0, 0], [0.5] * 3])


def zinc_blende(cation: str, anion: str, a: float = 5.4) -> Structure:
    return Structure(fcc(a), [cation, anion], [[0, 0, 0], [0.25] * 3])


def nothing_is_known(crystal: Structure) -> Novelty:
    return near(new=True)


@pytest.fixture
def make_store(tmp_path: Path):
    stores = []

    def make(measured: Mapping[str, tuple[Structure, dict[str, float]] | None], **changes: Any) -> CampaignStore:
        """id -> (crystal, values), or None for a candidate that failed."""
        spec = {
            "name": "small",
            "oracles": ["relax", "bulk_modulus"],
            "objectives": {"bulk_modulus_gpa": "maximize"},
            "constraints": {"energy_above_hull_ev_atom": {"max": 0.1}},
            "budget": {"oracle_calls": 10},
        }
        store = CampaignStore.create(tmp_path / "small", parse_spec({**spec, **changes}), provenance={"v": "1"})
        stores.append(store)
        candidates = [
            Candidate(
                id=name,
                round=1,
                arm="log_nei",
                crystal=rock_salt("Na", "Cl") if result is None else result[0],
                z=(0.0, 1.0),
                generator_version="v1",
                predicted={"bulk_modulus_gpa": (100.0, 12.5)},
            )
            for name, result in measured.items()
        ]
        store.finish_phase(1, "propose", candidates=candidates)
        for name, result in measured.items():
            store.record(name, stages(result))
        return store

    yield make
    for store in stores:
        store.close()


def stages(result: tuple[Structure, dict[str, float]] | None) -> list[StageOutcome]:
    if result is None:
        return [StageOutcome("relax", "1", Failed(FailureCode.COLLAPSED, "atoms met", 0.5))]
    crystal, values = result
    first = {"energy_ev_atom": -3.0, "energy_above_hull_ev_atom": values["energy_above_hull_ev_atom"]}
    rest = {name: value for name, value in values.items() if name not in first}
    return [
        StageOutcome("relax", "1", Measured(first, crystal, ("hull_sparse",), {"phases": 2}, 1.5)),
        StageOutcome("bulk_modulus", "1", Measured(rest, crystal, seconds=2.0)),
    ]


def values(bulk: float, hull: float = 0.0, **more: float) -> dict[str, float]:
    return {"bulk_modulus_gpa": bulk, "energy_above_hull_ev_atom": hull, **more}


def test_feasible_by_objective_then_infeasible_by_violation(make_store):
    store = make_store(
        {
            "a": (rock_salt("K", "Cl"), values(20)),
            "b": (rock_salt("Mg", "O", 4.2), values(150)),
            "c": (rock_salt("Ca", "O", 4.8), values(400, hull=0.3)),
            "d": (rock_salt("Sr", "O", 5.1), values(300, hull=0.2)),
            "e": None,
        }
    )
    report = export_campaign(store, novelty=nothing_is_known)
    table = pd.read_csv(report.folder / "ranking.csv")
    assert list(table["id"]) == ["b", "a", "d", "c"]
    assert list(table["rank"]) == [1, 2, 3, 4]
    assert list(table["feasible"]) == [True, True, False, False]
    assert report.ranking.failed == 1
    assert table["why"][0] == "feasible; bulk_modulus_gpa 150; best new crystal of 5 evaluated"
    assert "energy_above_hull_ev_atom 0.2 is above 0.1" in table["why"][2]


def test_csv_has_every_column_a_person_needs(make_store):
    store = make_store({"a": (rock_salt("Mg", "O", 4.2), values(150))})
    report = export_campaign(store, novelty=nothing_is_known)
    line = pd.read_csv(report.folder / "ranking.csv").iloc[0]
    assert (line["formula"], line["space_group"], line["space_group_number"]) == ("MgO", "Fm-3m", 225)
    assert line["n_atoms"] == 2
    assert (line["predicted_bulk_modulus_gpa_mean"], line["predicted_bulk_modulus_gpa_sd"]) == (100.0, 12.5)
    assert (line["known"], line["nearest_known"]) == ("new", "mp-22862 NaCl (225)")
    assert (line["round"], line["arm"], line["generator_version"]) == (1, "log_nei", "v1")
    assert line["oracle_seconds"] == 3.5
    assert line["flags"] == "hull_sparse formula_known"
    document = json.loads((report.folder / "ranking.json").read_text())
    assert document["candidates"][0]["stages"][0]["details"] == {"phases": 2}
    assert document["provenance"] == {"v": "1"}


def test_files_hold_the_crystal_and_its_space_group(make_store):
    rough = zinc_blende("Ga", "As")
    rough.translate_sites([1], [0.0013, -0.0007, 0.0004])
    store = make_store({"a": (rock_salt("Mg", "O", 4.2), values(150)), "b": (rough, values(90))})
    report = export_campaign(store, novelty=nothing_is_known)
    table = pd.read_csv(report.folder / "ranking.csv")
    frames = ase.io.read(report.folder / "candidates.extxyz", ":")
    for line, frame in zip(table.itertuples(), frames, strict=True):
        path = report.folder / line.file
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*fractional coordinates rounded")
            crystal = Structure.from_file(path)
        assert space_group(crystal).number == line.space_group_number
        assert len(ase.io.read(path)) == len(frame) == line.n_atoms
        assert frame.info["id"] == line.id
        assert frame.info["bulk_modulus_gpa"] == line.bulk_modulus_gpa
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fractional coordinates rounded")
        written = Structure.from_file(report.folder / table["file"][1])
    assert StructureMatcher(scale=False).get_rms_dist(written, rough)[0] < 1e-6  # not moved onto symmetry


def test_the_same_crystal_is_listed_once_and_counted(make_store):
    store = make_store(
        {
            "a": (rock_salt("Mg", "O", 4.20), values(150)),
            "b": (rock_salt("Mg", "O", 4.22) * [[-1, 1, 1], [1, -1, 1], [1, 1, -1]], values(152)),
            "c": (zinc_blende("Mg", "O", 4.6), values(120)),
        }
    )
    report = export_campaign(store, novelty=nothing_is_known)
    assert [entry.candidate.id for entry in report.ranking.entries] == ["b", "c"]
    assert report.ranking.duplicates == 1


@pytest.mark.parametrize(("distance", "flags"), [(0.0, ("formula_known",)), (0.25, ())])
def test_a_formula_the_table_has_in_another_structure_is_flagged(make_store, distance, flags):
    store = make_store({"a": (rock_salt("Ba", "Ti", 6.5), values(150))})  # a formula of neither list
    report = export_campaign(store, novelty=lambda x: Novelty(True, "mp-1 BaTi (187)", distance, "composition"))
    assert [flag for flag in report.ranking.entries[0].flags if flag == "formula_known"] == list(flags)


def test_known_materials_are_left_out_unless_asked_for(make_store):
    crystals = {
        "a": (rock_salt("Mg", "O", 4.2), values(150)),
        "b": (rock_salt("K", "Cl"), values(20)),
    }

    def magnesia_is_known(crystal: Structure) -> Novelty:
        return near(new=crystal.composition.reduced_formula != "MgO")

    store = make_store(crystals)
    report = export_campaign(store, novelty=magnesia_is_known)
    assert [entry.candidate.id for entry in report.ranking.entries] == ["b"]
    assert report.ranking.known == 1

    store.adopt(store.spec.model_copy(update={"export": store.spec.export.model_copy(update={"known": True})}))
    report = export_campaign(store, novelty=magnesia_is_known)
    table = pd.read_csv(report.folder / "ranking.csv")
    assert list(table["known"]) == ["known", "new"]


def test_two_objectives_put_the_pareto_front_first(make_store):
    store = make_store(
        {
            "dominated": (rock_salt("Ca", "O"), values(90, density_g_cm3=6.0)),
            "stiff": (rock_salt("Mg", "O"), values(200, density_g_cm3=5.0)),
            "light": (rock_salt("Li", "F"), values(100, density_g_cm3=2.0)),
        },
        objectives={"bulk_modulus_gpa": "maximize", "density_g_cm3": "minimize"},
    )
    report = export_campaign(store, novelty=nothing_is_known)
    ids = [entry.candidate.id for entry in report.ranking.entries]
    assert set(ids[:2]) == {"stiff", "light"}
    assert ids[2] == "dominated"


def test_only_the_top_is_written(make_store):
    measured = {f"c{i}": (rock_salt("Mg", x), values(10.0 * i)) for i, x in enumerate(["O", "S", "Se", "Te"])}
    store = make_store(measured, export={"top": 2})
    report = export_campaign(store, novelty=nothing_is_known)
    assert [entry.candidate.id for entry in report.ranking.entries] == ["c3", "c2"]
    assert len(list((report.folder / "cif").iterdir())) == 2


def test_sodium_nitride_is_no_missing_value(make_store):
    store = make_store({"a": (rock_salt("Na", "N", 4.9), values(30))})
    report = export_campaign(store, novelty=nothing_is_known)
    table = pd.read_csv(report.folder / "ranking.csv")
    assert table["formula"][0] == "Na1N1"
    assert (report.folder / table["file"][0]).is_file()


def test_nothing_evaluated_gives_an_empty_table(make_store):
    report = export_campaign(make_store({"a": None}), novelty=nothing_is_known)
    table = pd.read_csv(report.folder / "ranking.csv")
    assert len(table) == 0
    assert "bulk_modulus_gpa" in table.columns


def test_a_new_export_replaces_the_old_one_whole(make_store, monkeypatch):
    store = make_store({"a": (rock_salt("Mg", "O", 4.2), values(150))})
    folder = export_campaign(store, novelty=nothing_is_known).folder
    stale = folder / "cif" / "001_NaCl_before.cif"
    stale.write_text("from the export before")
    export_campaign(store, novelty=nothing_is_known)
    assert not stale.exists()

    def broken(crystal: Structure) -> Novelty:
        raise RuntimeError("stopped half way")

    with pytest.raises(RuntimeError):
        export_campaign(store, novelty=broken)
    assert (folder / "ranking.csv").is_file()
    assert sorted(path.name for path in folder.parent.iterdir() if "export" in path.name) == ["export"]


def test_what_somebody_saved_beside_the_list_stays(make_store):
    store = make_store({"a": (rock_salt("Mg", "O", 4.2), values(150))})
    folder = export_campaign(store, novelty=nothing_is_known).folder
    (folder / "dft").mkdir()
    saved = [folder / name for name in ("notes.txt", "cif/001_MgO_a.vesta", "dft/OUTCAR")]
    for path in saved:
        path.write_text("days of work")
    export_campaign(store, novelty=nothing_is_known)
    assert [path.read_text() for path in saved] == ["days of work"] * 3
    assert (folder / "ranking.csv").is_file()


@pytest.mark.parametrize("theirs", ["OUTCAR", "cif/mine.cif", "raw_data.zip", "dft/INCAR"])
def test_a_folder_with_anything_but_a_list_is_not_replaced(make_store, tmp_path, theirs):
    store = make_store({"a": (rock_salt("Mg", "O", 4.2), values(150))})
    path = tmp_path / "results" / theirs
    path.parent.mkdir(parents=True)
    path.write_text("days of work")
    with pytest.raises(UserError, match="would be replaced"):
        export_campaign(store, novelty=nothing_is_known, folder=tmp_path / "results")
    assert [each for each in (tmp_path / "results").rglob("*") if each.is_file()] == [path]


def test_the_folder_one_is_in_is_not_replaced(make_store, tmp_path, monkeypatch):
    store = make_store({"a": (rock_salt("Mg", "O", 4.2), values(150))})
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UserError, match="the folder you are in"):
        export_campaign(store, novelty=nothing_is_known, folder=Path())


def test_folders_are_swapped_where_names_cannot_be_exchanged(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.platform", "other")
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    replace_folder(tmp_path / "new", tmp_path / "old")
    assert [path.name for path in tmp_path.rglob("*")] == ["old", "new"]
