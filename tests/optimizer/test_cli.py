"""The command line as a person meets it: exit codes, one message, nothing written, JSON that is only JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from campaigns.errors import CampaignInterrupted
from campaigns.kinds import GROUPS, available_kinds
from campaigns.records import Candidate, Failed, FailureCode, Measured, StageOutcome
from campaigns.search_space import Elements, SearchSpace
from campaigns.spec import Budget, CampaignSpec, Export, load_spec, parse_spec
from campaigns.store import CampaignStore
from campaigns.yaml_files import read_yaml
from optimizer import campaign_files
from optimizer.commands import campaigns

SPECS = Path(__file__).parents[1] / "specs"
INVALID = sorted((SPECS / "invalid").glob("*.yaml"))
VALID = sorted((SPECS / "valid").glob("*.yaml"))
ROLES = ("generator", "start", "oracles", "surrogate", "acquisition", "executor")
OPTIMIZE = Path(sys.executable).with_name("optimize")


def expected(path: Path) -> list[str]:
    """What its message must hold stands in the file's own comments; the empty file has no room for them."""
    marks = [
        line.removeprefix("# expect: ")
        for line in path.read_text("utf-8").splitlines()
        if line.startswith("# expect: ")
    ]
    return marks or [path.name, "the file is empty", "campaigns/examples"]


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_a_bad_campaign_ends_with_one_message_and_nothing_written(optimize, tmp_path, command, path):
    code, out, err = optimize(command, path)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    for part in expected(path):
        assert part in err
    assert list(tmp_path.iterdir()) == []


def test_every_bad_campaign_says_what_its_message_must_hold():
    assert len(INVALID) >= 40
    assert [path.name for path in INVALID if len(expected(path)) < 2] == []


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_good_campaign_is_ready_to_run(optimize, tmp_path, path, tmp_path_factory, request):
    if address := load_spec(path).ledger:  # in a database that there is
        text = path.read_text("utf-8").replace(address, request.getfixturevalue("database"))
        path = tmp_path_factory.mktemp("shared") / path.name
        path.write_text(text)
    code, out, err = optimize("check", path)
    assert (code, err) == (0, "")
    assert "ready to run" in out
    assert list(tmp_path.iterdir()) == []


def test_the_good_campaigns_use_every_key():
    def keys(node: Any, root: str = "") -> set[str]:
        if isinstance(node, list):
            return set().union(*(keys(each, f"{root}[]") for each in node))
        if not isinstance(node, dict):
            return set()
        return {f"{root}.{key}" for key in node}.union(*(keys(value, f"{root}.{key}") for key, value in node.items()))

    every = {name for model in (CampaignSpec, SearchSpace, Elements, Budget, Export) for name in model.model_fields}
    used = {path.rpartition(".")[2] for file in VALID for path in keys(read_yaml(file))}
    assert every - used == set()
    named = {kind for file in VALID for role in ROLES for kind in _kinds(getattr(load_spec(file), role))}
    assert {kind for role in set(GROUPS) - {"representation"} for kind in available_kinds(role)} - named == {"ledger"}


def _kinds(found: Any) -> list[str]:
    return [each.kind for each in (found if isinstance(found, tuple) else (found,))]


def test_a_missing_campaign_names_the_path_and_the_examples(optimize, tmp_path):
    code, out, err = optimize("run", "no_such.yaml")
    assert (code, out) == (2, "")
    assert "no_such.yaml: no such file. Give the path of a campaign YAML" in err
    assert list(tmp_path.iterdir()) == []


def test_a_file_for_a_name_and_a_name_for_a_file_are_told_apart(optimize, tmp_path):
    """`run` takes the file and `report` the name of the run: who mixes them up is told the other."""
    (tmp_path / "borides.yaml").write_text("name: borides\n")
    assert "Did you mean 'borides.yaml'?" in optimize("check", "borides")[2]
    assert "Did you mean 'borides.yaml'?" in optimize("run", "boride.yaml")[2]
    assert "Did you mean 'quickstart'?" in optimize("run", "quickstrat")[2]
    assert "Did you mean" not in optimize("run", "nitrogen.yaml")[2]
    (tmp_path / "runs" / "borides").mkdir(parents=True)
    (tmp_path / "runs" / "borides" / "ledger.sqlite").touch()
    assert "There are: borides. Did you mean 'borides'?" in optimize("report", "borides.yaml")[2]


def test_the_installed_command_prints_no_traceback(tmp_path):
    bad = SPECS / "invalid" / "tag_that_runs_code.yaml"
    done = subprocess.run([OPTIMIZE, "check", bad], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_option_is_a_user_error(optimize):
    assert optimize("check", "--no-such-option")[0] == 2


def test_an_interrupted_campaign_can_be_told_by_its_exit_code(optimize, monkeypatch):
    def interrupted(*_: object) -> None:
        raise CampaignInterrupted("stopped; run again to go on")

    monkeypatch.setattr(campaigns, "load", interrupted)
    code, _, err = optimize("run", "any")
    assert (code, err) == (3, "optimize: stopped; run again to go on\n")


# -- reading a campaign back


@pytest.fixture
def run_folder(tmp_path):
    """A campaign with two good candidates, one failed and one still to do."""
    spec = parse_spec(
        {
            "name": "small",
            "oracles": ["relax", "bulk_modulus"],
            "objectives": {"bulk_modulus_gpa": "maximize"},
            "budget": {"oracle_calls": 4},
        }
    )
    fcc = Lattice([[0.0, 2.5, 2.5], [2.5, 0.0, 2.5], [2.5, 2.5, 0.0]])
    crystals = {anion: Structure(fcc, ["Tm", anion], [[0, 0, 0], [0.5, 0.5, 0.5]]) for anion in ("Br", "I", "F", "Cl")}
    with CampaignStore.create(tmp_path / "runs" / "small", spec, provenance={}) as store:
        candidates = [
            Candidate(anion, 0, "generator_samples", crystal, None, "v1") for anion, crystal in crystals.items()
        ]
        store.finish_phase(0, "propose", candidates=candidates, failures={"known": 3})
        for anion, bulk in (("Br", 50.0), ("I", 60.0)):
            relaxed = Measured({"energy_ev_atom": -3.0}, crystals[anion], seconds=1.0)
            stiff = Measured({"bulk_modulus_gpa": bulk}, crystals[anion], seconds=2.0)
            store.record(anion, [StageOutcome("relax", "1", relaxed), StageOutcome("bulk_modulus", "1", stiff)])
        store.event("clock", "session ended", hours=0.25)
        store.record("F", [StageOutcome("relax", "1", Failed(FailureCode.COLLAPSED, "", 0.5))])
    return tmp_path / "runs" / "small"


def test_status_as_json(optimize, run_folder):
    code, out, err = optimize("status", "small", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["candidates"] == {"proposed": 4, "evaluated": 3, "pending": 1, "handed_out": 0}
    assert (found["budget"]["oracle_calls"], found["budget"]["of"]) == (2, 4)
    assert (found["budget"]["hours"], found["events"]) == (0.25, [])
    assert found["stages"]["relax"] == {"entered": 3, "failed": 1, "seconds": 2.5}
    assert found["failures"] == {"known": 3, "collapsed": 1}
    assert found["failures_by_stage"] == {"before any oracle": {"known": 3}, "relax": {"collapsed": 1}}
    assert (found["best"]["formula"], found["best"]["values"]["bulk_modulus_gpa"]) == ("TmI", 60.0)
    assert found["state"].startswith("stopped")


def test_status_for_people(optimize, run_folder):
    code, out, _ = optimize("status", run_folder)
    assert code == 0
    for part in (
        "2 of 4 calls of bulk_modulus",
        "before any oracle: known 3; relax: collapsed 1",
        "TmI",
        "bulk_modulus_gpa 60",
    ):
        assert part in out


def test_export_prints_the_list_and_writes_the_files(optimize, run_folder):
    code, out, err = optimize("export", "small", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    table = pd.read_csv(run_folder / "export" / "ranking.csv")
    assert [line["id"] for line in found["candidates"]] == list(table["id"]) == ["I", "Br"]
    assert (found["evaluated"], found["failed"]) == (3, 1)
    assert found["failures"] == {"before any oracle": {"known": 3}, "relax": {"collapsed": 1}}
    code, out, _ = optimize("export", "small")
    assert code == 0
    assert "TmI" in out
    assert out.endswith("Failures by stage: before any oracle: known 3; relax: collapsed 1.\n")


def test_an_unknown_run_names_those_there_are(optimize, run_folder):
    code, out, err = optimize("status", "smal")
    assert (code, out) == (2, "")
    assert "There are: small." in err


def test_a_folder_without_campaign_is_said_so(optimize, tmp_path):
    code, _, err = optimize("status", tmp_path)
    assert code == 2
    assert "holds no campaign" in err


# -- what can be chosen


def test_kinds_shows_parameters_with_units_and_defaults(optimize):
    code, out, _ = optimize("kinds", "oracle")
    assert code == 0
    for part in ("relax", "bulk_modulus", "fmax_ev_per_ang", "number, above 0, at most 1 = 0.03", "(eV/angstrom)"):
        assert part in out


def test_an_unknown_role_names_the_roles(optimize):
    code, _, err = optimize("kinds", "oracles")
    assert code == 2
    assert "Did you mean 'oracle'?" in err


def test_the_schema_describes_every_kind(optimize):
    code, out, _ = optimize("schema")
    assert code == 0
    schema = json.loads(out)
    names, *kinds = schema["$defs"]["oracle"]["oneOf"]
    by_kind = {each["properties"]["kind"]["const"]: each for each in kinds}
    assert set(names["enum"]) == set(by_kind)
    assert by_kind["relax"]["properties"]["max_steps"]["default"] == 200
    assert by_kind["relax"]["additionalProperties"] is False


def test_every_reference_of_the_schema_resolves(optimize):
    schema = json.loads(optimize("schema")[1])

    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return here + [each for value in node.values() for each in references(value)]
        return [each for value in node for each in references(value)] if isinstance(node, list) else []

    found = references(schema)
    assert found
    assert {each.removeprefix("#/$defs/") for each in found} <= set(schema["$defs"])


def test_bundled_examples_are_found_by_name():
    for name in campaign_files.example_names():
        assert load_spec(campaign_files.campaign_path(name))


def test_check_says_how_good_a_predictor_is(optimize):
    code, out, _ = optimize("check", SPECS / "valid" / "physics_and_predictors.yaml")
    assert code == 0
    assert "mean absolute error" in out
    assert "on formulas left out" in " ".join(out.split())
