"""`optimize init`: every template is ready to run, wishes stand in the file, nothing is overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from campaigns.errors import SpecError
from campaigns.spec import load_spec
from campaigns.yaml_files import read_yaml
from optimizer.campaign_templates import Wishes, init_campaign, template_names
from optimizer.schema import campaign_schema


@pytest.mark.parametrize("template", template_names())
def test_a_new_campaign_is_ready_to_run(optimize, tmp_path, template):
    code, out, err = optimize("init", "--template", template)
    assert (code, err) == (0, "")
    assert out.endswith(f"Next: optimize check {template}.yaml\n")
    lines = (tmp_path / f"{template}.yaml").read_text("utf-8").splitlines()
    assert lines[0] == "# yaml-language-server: $schema=campaign.schema.json"
    assert any(line.startswith("#     optimize ") and f"{template}.yaml" in line for line in lines)
    assert (tmp_path / "campaign.schema.json").is_file()
    code, out, err = optimize("check", f"{template}.yaml")
    assert (code, err) == (0, "")
    assert f"runs/{template}" in out.replace("\n", "")


def test_the_bundled_schema_is_the_one_that_the_kinds_give(tmp_path):
    """Make it again: optimize schema --out campaigns/templates/campaign.schema.json"""
    written = init_campaign("stiff", tmp_path / "a.yaml", Wishes())
    assert json.loads(written.schema.read_text("utf-8")) == json.loads(json.dumps(campaign_schema()))


@pytest.mark.parametrize("template", template_names())
def test_elements_are_those_that_were_named(tmp_path, template):
    file = tmp_path / "deep" / "lead and tin.yaml"
    init_campaign(template, file, Wishes(elements=("Pb", "O", "halogen")))
    spec = load_spec(file)
    assert spec.name == "lead_and_tin"
    assert spec.space.elements.allowed == {"Pb", "O", "F", "Cl", "Br", "I"}
    assert "#" in file.read_text("utf-8")


def test_what_the_template_is_about_stays(tmp_path):
    file = tmp_path / "oxides.yaml"
    init_campaign("formation", file, Wishes(elements=("transition_metal", "O", "F", "Cl", "Pb")))
    elements = load_spec(file).space.elements
    assert elements.require == ("O",)
    assert {"F", "Cl", "Pb", "O", "Ti"} <= elements.allowed  # named, or of a group that was
    assert not {"Cd", "Hg", "Os", "Tc"} & elements.allowed  # as toxic or radioactive as without lead
    with pytest.raises(SpecError, match=r"--elements: the template has O in every crystal\. Add O"):
        init_campaign("formation", tmp_path / "nitrides.yaml", Wishes(elements=("Ti", "N")))
    assert not (tmp_path / "nitrides.yaml").exists()


@pytest.mark.parametrize(
    ("name", "unit"),
    [("hardness_gpa", "GPa"), ("seebeck_uv_k", "uV/K"), ("expansion_per_k", "1/K"), ("figure_of_merit", "?")],
)
@pytest.mark.parametrize("template", ["ask-tell", "your-data"])
def test_the_unit_is_read_from_the_name_or_asked_for(tmp_path, template, name, unit):
    data = tmp_path / "mine.csv" if template == "your-data" else None
    if data is not None:
        data.touch()
    init_campaign(template, tmp_path / "a.yaml", Wishes(property=name, data=data))
    text = (tmp_path / "a.yaml").read_text("utf-8")
    oracles = read_yaml(tmp_path / "a.yaml")["oracles"]
    given = oracles[2]["properties"][name] if template == "ask-tell" else oracles[1]["unit"]
    assert given == unit
    assert ("# write the unit in place of ?" in text) == (unit == "?")


@pytest.mark.parametrize("template", ["stiff", "gap", "ask-tell"])
def test_of_a_few_elements_the_missing_phases_are_made(tmp_path, template):
    init_campaign(template, tmp_path / "few.yaml", Wishes(elements=("K", "Sn", "halogen")))
    init_campaign(template, tmp_path / "many.yaml", Wishes(elements=("transition_metal",)))
    hulls = [load_spec(tmp_path / name).oracles[1] for name in ("few.yaml", "many.yaml")]
    assert [each.params for each in hulls] == [{}, {"competing_phases": 0}]


def test_one_element_alone_is_a_space_too(tmp_path):
    init_campaign("stiff", tmp_path / "carbon.yaml", Wishes(elements=("C",)))
    assert str(load_spec(tmp_path / "carbon.yaml").space.n_elements) == "[1, 1]"


def test_a_table_and_a_property_of_ones_own(optimize, tmp_path):
    optimize("init", "--template", "your-data")
    table = pd.read_csv(tmp_path / "example_band_gaps.csv").rename(columns={"band_gap_ev": "hardness_gpa"})
    (tmp_path / "my data").mkdir()
    table.to_csv(tmp_path / "my data" / "hard, harder.csv", index=False)
    arguments = ("--template", "your-data", "--data", "my data/hard, harder.csv", "--property", "hardness_gpa")
    code, _, err = optimize("init", "sub/mine.yaml", *arguments)
    assert (code, err) == (0, "")
    document = read_yaml(tmp_path / "sub" / "mine.yaml")
    assert document["start"][0]["path"] == "../my data/hard, harder.csv"
    assert document["oracles"][1]["unit"] == "GPa"
    assert document["objectives"] == {"hardness_gpa": "maximize"}
    assert not (tmp_path / "sub" / "example_band_gaps.csv").exists()
    code, out, err = optimize("check", "sub/mine.yaml")
    assert (code, err) == (0, "")
    assert "mean absolute error" in out


def test_nothing_is_overwritten(optimize, tmp_path):
    (tmp_path / "stiff.yaml").write_text("mine")
    code, out, err = optimize("init")
    assert (code, out) == (2, "")
    assert err == "optimize: stiff.yaml: is there already. Give another file name; nothing is overwritten.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["stiff.yaml"]
    (tmp_path / "campaign.schema.json").write_text("{}")
    code, _, err = optimize("init", "other.yaml")
    assert code == 2
    assert "campaign.schema.json: is no schema of a campaign file" in err
    assert (tmp_path / "campaign.schema.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--template", "stif"], "--template: unknown 'stif'; choose one of"),
        (["--elements", "Ti,Xx"], "--elements: 'Xx' is no element or group"),
        (["--name", "a b"], "name: "),
        (["--name", "a\nseed: 5"], "seed"),
        (["--property", "gap_ev"], "--property is for the templates your-data and ask-tell"),
        (["-t", "ask-tell", "--property", "Gap: x"], "is no property name"),
        (["-t", "your-data", "--property", "gap_ev"], "the example table has no gap_ev"),
        (["--data", "x.csv"], "--data is for the template your-data"),
        (["-t", "your-data", "--data", "x.csv"], "--data: x.csv does not exist"),
        (["."], ".: is a folder"),
    ],
)
def test_a_wish_that_makes_no_campaign_is_one_line(optimize, tmp_path, arguments, message):
    code, out, err = optimize("init", *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_a_source_elsewhere_may_be_the_table(tmp_path):
    wishes = Wishes(data=Path("matminer:matbench_mp_gap"))
    init_campaign("your-data", tmp_path / "a.yaml", wishes)
    assert read_yaml(tmp_path / "a.yaml")["start"][0]["path"] == "matminer:matbench_mp_gap"
