"""Every command in README and docs can be typed as it stands there; what is cheap is run."""

from __future__ import annotations

import csv
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from documentation import DOCS, PAGES, ROOT, SHELLS, blocks, commands, name, quoted, rows
from shared_fixtures import caches_of_its_own, optimize
from tiny_docs_campaign import tiny_campaign

from campaigns.spec import load_spec, parse_spec
from campaigns.yaml_files import parse_yaml
from optimizer.campaign_files import example_names
from optimizer.campaign_templates import template_names
from optimizer.cli import app

COMMANDS = typer.main.get_command(app).commands
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ELSEWHERE = {"cd", ".", "export", "make", "pip", "python", "python3"}
"""What else a reader is told to type."""

pages = pytest.mark.parametrize("page", PAGES, ids=name)


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that `optimize ...` names, and what follows its name."""
    command, rest = COMMANDS.get(words[1]), words[2:]
    assert command is not None, words
    if inner := getattr(command, "commands", None):
        command = inner[rest.pop(0)]
    return command, rest


def options_of(command: Any) -> set[str]:
    """Every option of a command and of those in it."""
    own = {option for parameter in command.params for option in parameter.opts}
    return own.union(*(options_of(each) for each in getattr(command, "commands", {}).values()))


def test_there_are_commands_to_check():
    """A page rewritten in another style must not pass by accident."""
    assert sum(words[0] == "optimize" for page in PAGES for words in commands(page)) >= 25
    assert any(blocks(page, shell) for page in PAGES for shell in SHELLS)


@pages
def test_what_is_to_be_typed_is_taken(page):
    """Names, options, and the types and number of what follows."""
    for words in commands(page):
        if words[0] == "optimize":
            command, rest = command_of(words)
            command.make_context(words[1], rest)
        else:
            assert words[0] in ELSEWHERE, words


@pages
def test_what_is_mentioned_exists(page):
    """In the middle of a sentence a command may stand without its arguments."""
    for line in quoted(page):
        if line.startswith("optimize "):
            command, rest = command_of(line.split("#")[0].split())
            assert {each for each in rest if each.startswith("--")} <= options_of(command), line


@pages
def test_make_targets_modules_and_extras_exist(page):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for words in [*commands(page), *(line.split() for line in quoted(page))]:
        if words[:1] == ["make"] and len(words) > 1:
            assert words[1] in targets, words
        if words[:2] == ["python", "-m"] and len(words) > 2 and words[2] not in ("pytest", "venv"):
            place = ROOT.joinpath(*words[2].split("."))
            assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), words
        for extra in re.findall(r"latentore\[(\w+)\]", " ".join(words)):
            assert extra in PROJECT["optional-dependencies"], words


@pytest.mark.parametrize("page", sorted({*DOCS.glob("*.md")} - {DOCS / "benchmarks.md"}), ids=name)
def test_options_that_are_mentioned_belong_to_a_command(page):
    known = set().union(*map(options_of, COMMANDS.values()))
    for line in quoted(page):
        if re.fullmatch(r"--[a-z-]+( \S+)?", line):
            assert line.split()[0] in known, line


def test_the_tutorial_sees_first_whether_all_is_well(optimize):
    typed = [words[1:] for words in commands(DOCS / "tutorial.md") if words[0] == "optimize"]
    assert typed[0] == ["doctor"]
    code, out, err = optimize(*typed[0])
    assert (code, err) == (0, ""), out
    assert {line.split()[0] for line in out.splitlines()} == {"ok", "note"}


def test_what_the_tutorial_types_makes_the_file_that_it_shows(optimize, tmp_path):
    (init,) = [words for words in commands(DOCS / "tutorial.md") if words[:2] == ["optimize", "init"]]
    code, out, err = optimize(*init[1:])
    assert (code, err) == (0, "")
    assert "Next: optimize check absorber.yaml" in out
    file = tmp_path / "absorber.yaml"
    text = file.read_text("utf-8")
    for before, after in {"{target: 1.4}": "{target: 1.6}", "  n: 16": "  n: 8", "calls: 48": "calls: 24"}.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    file.write_text(text)
    (shown,) = blocks(DOCS / "tutorial.md", "yaml")
    assert load_spec(file) == parse_spec(parse_yaml(shown))


def test_what_else_init_is_told_to_write_is_written(optimize, tmp_path):
    for page in PAGES:
        for words in commands(page):
            if words[:2] == ["optimize", "init"] and page.name != "tutorial.md":
                assert optimize(*words[1:])[0] == 0, words
                assert load_spec(tmp_path / words[2]).space.elements.include


def test_the_rest_of_the_tutorial_runs(optimize, tmp_path):
    """Every command after `init`, in its order, on a campaign that takes seconds."""
    (tmp_path / "absorber.yaml").write_text(tiny_campaign("absorber"))
    typed = [words[1:] for words in commands(DOCS / "tutorial.md") if words[0] == "optimize"]
    after = typed[[words[0] for words in typed].index("check") :]
    assert [words[0] for words in after] == ["check", "run", "status", "report", "export"]
    for words in after:
        code, out, err = optimize(*words)
        assert code == 0, (shlex.join(words), err)
        assert "absorber" in out
    assert (tmp_path / "runs" / "absorber" / "report.html").is_file()
    assert (tmp_path / "absorber_list" / "absorber.zip").is_file()


def test_what_other_pages_type_of_a_campaign_runs(optimize, tmp_path):
    """`check`, `run`, `report`, `export` and `verify` of all pages but the tutorial, one after the other."""
    files = ("nitrides.yaml", "my_gap.yaml", "on_a_cluster.yaml")
    for file in files:
        (tmp_path / file).write_text(tiny_campaign("nitrides"))
    typed = [
        words[1:] for page in PAGES for words in commands(page) if words[0] == "optimize" and page.name != "tutorial.md"
    ]
    ours = [words for words in typed if words[0] in ("check", "run", "report", "export") and words[1] != "shared.yaml"]
    assert {words[1] for words in ours} == {*files, "nitrides", "NAME"}
    for words in sorted(ours, key=lambda words: words[1] not in files):
        code, _, err = optimize(*("nitrides" if word == "NAME" else word for word in words))
        assert (code, err) == (0, ""), shlex.join(words)
    assert (tmp_path / "my_list" / "nitrides.zip").is_file()
    (verify,) = [words for words in typed if words[:2] == ["verify", "NAME"]]
    another = ["--calculator", "ase.calculators.emt:EMT", "--calculator-args", '{"asap_cutoff": true}']  # not SevenNet
    code, _, err = optimize(*("nitrides" if word == "NAME" else word for word in verify), *another)
    assert code == 0, err
    assert "verified_by" in (tmp_path / "runs" / "nitrides" / "export" / "ranking.csv").read_text()


@pytest.mark.parametrize("page", ["cluster.md", "own-property.md"])
def test_what_is_measured_elsewhere_is_asked_and_told_as_typed(optimize, tmp_path, page):
    ask, tell = ([w[1:] for w in commands(DOCS / page) if w[1:2] == [verb]] for verb in ("ask", "tell"))
    ((ask,), (tell,)) = ask, tell
    external = "{kind: external, properties: {band_gap_ev: eV}}"
    (tmp_path / ask[1]).write_text(tiny_campaign(Path(ask[1]).stem, external, "band_gap_ev"))
    assert optimize(*ask)[0] == 0
    asked = tmp_path / Path(tell[2]).parent
    assert list(asked.rglob("POSCAR"))
    with (asked / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (asked / "manifest.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(row | {"band_gap_ev [eV]": "1.1"} for row in rows)
    code, out, err = optimize(*tell)
    assert (code, err) == (0, "")
    assert f"{len(rows)} " in out


def test_templates_and_examples_are_named():
    assert {row[0].strip("`") for row in rows(DOCS / "running.md", "template")} == set(template_names())
    readme = (ROOT / "README.md").read_text("utf-8")
    assert all(f"`{each}`" in readme for each in [*template_names(), *example_names()])


__all__ = ["caches_of_its_own", "optimize"]
