"""README and docs: every command exists, every campaign in them is one, the code runs, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
import yaml
from pymatgen.core import Lattice, Structure

from campaigns.records import Measured
from campaigns.spec import parse_spec
from optimizer.campaign_files import example_names
from optimizer.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = typer.main.get_command(app).commands
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in BLOCK.findall(page.read_text("utf-8")) if kind == language]


def code(page: Path) -> list[str]:
    """Everything in backquotes on one line, and every indented line."""
    text = BLOCK.sub("", page.read_text("utf-8"))
    return re.findall(r"`([^`]+)`", text) + re.findall(r"^    (\S.*)$", text, re.MULTILINE)


def test_the_pages_name_commands_and_campaigns():
    """The patterns below find something: a page rewritten in another style must not pass by accident."""
    assert sum(line.startswith("optimize ") for page in PAGES for line in code(page)) >= 8
    assert sum(len(blocks(page, "yaml")) for page in PAGES) >= 3


@pages
def test_every_optimize_command_exists(page):
    for line in code(page):
        if line.startswith("optimize "):
            name, *arguments = line.split("#")[0].split()[1:]
            assert name in COMMANDS, line
            command = COMMANDS[name]
            if inner := getattr(command, "commands", None):
                command = inner[arguments.pop(0)]
            options = {option for parameter in command.params for option in parameter.opts}
            assert {each for each in arguments if each.startswith("--")} <= options, line


@pages
def test_every_make_target_and_module_exists(page):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for line in code(page):
        if match := re.match(r"make (\w+)", line):
            assert match[1] in targets, line
        if match := re.match(r"python -m ([\w.]+)", line):
            place = ROOT.joinpath(*match[1].split("."))
            assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), line


@pages
def test_every_campaign_in_a_page_is_one(page):
    for body in blocks(page, "yaml"):
        assert parse_spec(yaml.safe_load(body)).name


@pages
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_example_is_in_the_readme():
    text = (ROOT / "README.md").read_text("utf-8")
    assert example_names()
    assert all(name in text for name in example_names())


def test_the_oracle_in_the_readme_measures():
    (body,) = blocks(ROOT / "README.md", "python")
    module: dict = {}
    exec(compile(body, "README.md", "exec"), module)
    rock_salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    ((_, outcome),) = module["build"](module["Params"](), None).evaluate([rock_salt], seed=0)
    assert isinstance(outcome, Measured)
    assert outcome.values["electronegativity_spread_pauling"] == pytest.approx(3.16 - 0.93)
