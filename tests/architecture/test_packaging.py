"""What the distribution declares is what the code needs, and what `make` installs is what was tested."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("campaigns", "generative", "surrogates", "optimizer")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
BUILD_ONLY = {"pyxtal"}  # makes the bundled symmetry tables, once
EXTRAS = ("dask",)  # imported where they are asked for, and only there
COMES_WITH = {"pydantic-core"}  # pydantic requires one exact release of it


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in requirements}


def imported() -> set[str]:
    """Distributions that the packages import anywhere, lazily too, other than our own."""
    tops = set()
    for path in (file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                tops |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                tops.add(node.module.partition(".")[0])
    tops -= {*sys.stdlib_module_names, *PACKAGES}
    providers = packages_distributions()
    return {normal(providers[top][0]) for top in tops} - COMES_WITH


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normal(name): version for name, version in pairs}


def test_dependencies_are_what_is_imported():
    found = {"pymatgen" if name == "pymatgen-core" else name for name in imported()}
    extras = found & {name for extra in EXTRAS for name in declared(PROJECT["optional-dependencies"][extra])}
    assert found - BUILD_ONLY - extras == declared(PROJECT["dependencies"])
    assert declared(PROJECT["optional-dependencies"]["dev"]) >= BUILD_ONLY


def test_every_dependency_is_pinned_exactly():
    extras = PROJECT["optional-dependencies"].values()
    assert declared(PROJECT["dependencies"]).union(*map(declared, extras)) <= set(pins())
    assert all(re.fullmatch(r"[\w.]+", version) for version in pins().values())


def test_the_pins_are_the_tested_versions():
    tested = json.loads((ROOT / "optimizer" / "data" / "tested_versions.json").read_text("utf-8"))
    assert declared(list(tested)) == declared(PROJECT["dependencies"])
    assert {normal(name): version for name, version in tested.items()}.items() <= pins().items()


@pytest.mark.parametrize("example", sorted((ROOT / "campaigns" / "examples").glob("*.yaml")), ids=lambda p: p.stem)
def test_an_example_carries_the_name_of_its_file_and_measures_what_it_asks(example):
    from campaigns.spec import load_spec
    from optimizer.cascade import Cascade
    from optimizer.protocols import OracleContext

    spec = load_spec(example)
    assert spec.name == example.stem
    measured = {each.name for each in Cascade.build(spec.oracles, OracleContext("cpu"), spec.space).properties}
    assert {*spec.objectives, *spec.constraints} <= measured
