"""A campaign from Python: one small one, run for real, and what can be asked of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from tiny_campaigns import emt_campaign

from campaigns.errors import LedgerError, UserError
from campaigns.spec import parse_spec
from campaigns.yaml_files import dump_yaml
from optimizer import Campaign

MODEL = """
def predict(crystal):
    return {"size_ang3": crystal.volume, "sites": len(crystal)}
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Campaign:
    place = tmp_path_factory.mktemp("python")
    (place / "model.py").write_text(MODEL)
    own = {"kind": "python", "function": "model.py:predict", "properties": {"size_ang3": "angstrom^3", "sites": "1"}}
    relax = {"kind": "relax", "calculator": "ase.calculators.emt:EMT", "max_steps": 20}
    campaign = emt_campaign(
        "notebook",
        oracles=[relax, "density", own],
        constraints={"sites": {"max": 100}},
        executor={"kind": "local"},
        budget={"oracle_calls": 4},
    )
    (place / "notebook.yaml").write_text(dump_yaml(campaign))
    return Campaign.from_yaml(place / "notebook.yaml", place / "runs").run(quiet=True)


def test_the_best_are_a_table_with_units_in_its_columns(done):
    table = done.best(2)
    assert list(table.index) == [1, 2]
    assert table.index.name == "rank"
    assert table["density_g_cm3"].is_monotonic_increasing
    assert (table["size_ang3"] / table["sites"]).between(8, 30).all()  # the function named in the file was asked
    written = pd.read_csv(done.run_folder / "export" / "ranking.csv", index_col="rank")
    assert list(written["id"][:2]) == list(table["id"])
    assert list(written.columns) == list(table.columns)


def test_structures_are_those_of_the_table(done):
    table, crystals = done.best(3), done.structures(3)
    assert [len(each) for each in crystals] == list(table["n_atoms"])
    assert [float(each.density) for each in crystals] == pytest.approx(list(table["density_g_cm3"]), rel=1e-3)


def test_status_is_what_the_command_prints(done):
    found = done.status()
    assert (found["state"], found["budget"]["oracle_calls"]) == ("budget spent", 4)


def test_a_list_in_other_formats_goes_where_it_is_wanted(done, tmp_path):
    assert sorted(path.name for path in done.export(["csv", "zip"], tmp_path / "list").iterdir()) == [
        *("notebook.zip", "ranking.csv")
    ]
    with pytest.raises(UserError, match="--format: unknown 'xls'"):
        done.export(["xls"])


def test_two_of_the_same_folder_are_one_campaign(done):
    again = Campaign.from_yaml(done.folder / "notebook.yaml", done.run_folder.parent)
    assert again == done
    assert list(again.run(quiet=True).best()["id"]) == list(done.best()["id"])


def test_a_plan_needs_no_run(tmp_path):
    campaign = Campaign.from_dict(emt_campaign(), tmp_path / "runs")
    assert "search space" in list(campaign.plan()["what"])
    with pytest.raises(LedgerError, match="holds no campaign"):
        campaign.best()
    assert not (tmp_path / "runs").exists()


def test_an_example_is_found_by_name(tmp_path):
    assert Campaign.from_yaml("quickstart").spec.name == "quickstart"


def test_what_comes_from_outside_is_asked_and_told(tmp_path):
    spec = emt_campaign("lab", oracles=[{"kind": "external", "properties": {"gap_ev": "eV"}}])
    campaign = Campaign.from_dict(spec | {"objectives": {"gap_ev": "maximize"}}, tmp_path)
    report = campaign.ask(2)
    assert len(report.candidates) == 2
    manifest = Path(report.folder) / "manifest.csv"
    table = pd.read_csv(manifest, dtype=object)
    table.loc[0, "gap_ev [eV]"] = "1.5"
    table.to_csv(manifest, index=False)
    assert len(campaign.tell(manifest).recorded) == 1
    assert list(campaign.best()["gap_ev"]) == [1.5]


def test_importing_the_name_loads_nothing_heavy():
    code = "import sys, optimizer; assert 'sqlalchemy' not in sys.modules; from optimizer import Campaign"
    code += "; print(*{'torch', 'ase', 'chgnet'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_name_that_is_not_there_is_said_so():
    import optimizer

    with pytest.raises(AttributeError, match="no attribute 'Campain'"):
        optimizer.Campain  # noqa: B018
    assert parse_spec(emt_campaign()).name == "emt"
