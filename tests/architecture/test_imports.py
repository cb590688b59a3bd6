"""The direction of imports, read from the source; and what light commands must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("campaigns", "generative", "surrogates", "optimizer")
MAY_IMPORT = {
    "campaigns": {"campaigns"},
    "generative": {"generative", "campaigns"},
    "surrogates": {"surrogates", "campaigns"},
    "optimizer": {"optimizer", "generative", "surrogates", "campaigns"},
}
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LONGEST_MODULE = 500
NAMES_THAT_SAY_NOTHING = {"utils", "helpers", "common", "misc"}


def name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def imports(path: Path, *, at_start: bool) -> frozenset[str]:
    """Absolute names a module imports; `at_start` leaves out those in functions and under TYPE_CHECKING."""
    tree = ast.parse(path.read_text("utf-8"))
    hidden: set[ast.AST] = set()
    if at_start:
        for node in ast.walk(tree):
            typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            if typing_only or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                hidden.update(ast.walk(node))
    found = set()
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}:{node.lineno} imports relatively"
            assert node.module is not None
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def ours(path: Path) -> set[str]:
    """Our own modules that are imported when this one is."""
    known = {name(each) for each in MODULES}
    found = set()
    for imported in imports(path, at_start=True):
        parts = imported.split(".")
        while parts and ".".join(parts) not in known:
            parts.pop()
        if parts:
            found.add(".".join(parts))
    return found - {name(path)}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_run_downwards_only(path):
    """Lazy imports and imports for typing count too."""
    package = name(path).partition(".")[0]
    tops = {imported.partition(".")[0] for imported in imports(path, at_start=False)}
    assert tops & set(PACKAGES) <= MAY_IMPORT[package]
    if package == "campaigns":
        assert not tops & {"torch", "botorch", "gpytorch", "ase", "chgnet"}


def test_there_is_no_cycle_among_modules():
    graph = {name(path): ours(path) for path in MODULES}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert set(graph) <= set(order)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_modules_are_short_and_named_for_what_they_do(path):
    assert len(path.read_text("utf-8").splitlines()) <= LONGEST_MODULE
    assert not NAMES_THAT_SAY_NOTHING & set(name(path).split("."))


def loaded_by(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after `code`."""
    source = f"import sys\n{code}\nprint('LOADED', *{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_importing_campaigns_loads_no_torch():
    modules = [name(path) for path in MODULES if name(path).startswith("campaigns")]
    assert "torch" not in loaded_by("\n".join(f"import {each}" for each in modules))


def test_help_and_a_misspelt_file_load_nothing_heavy():
    heavy = {"torch", "pymatgen", "ase", "pandas", "scipy", "sqlalchemy", "botorch", "chgnet"}
    code = """
from optimizer.cli import main
for arguments in (["--help"], ["check", "no_such_file.yaml"]):
    sys.argv = ["optimize", *arguments]
    try:
        main()
    except SystemExit:
        pass
"""
    assert not heavy & loaded_by(code)
