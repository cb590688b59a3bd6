"""A user's own function as an oracle."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from campaigns.records import Failed, FailureCode, Measured
from optimizer.oracles.python import Params, PythonOracle, build
from optimizer.protocols import OracleContext

COPPER = Structure(Lattice.cubic(3), ["Cu"], [[0, 0, 0]])
SOURCE = """
def edge(crystal):
    return crystal.lattice.a

def both(crystal):
    crystal.translate_sites([0], [0.5, 0, 0])
    return {"edge_ang": crystal.lattice.a, "size": len(crystal), "more": "ignored"}

def nan(crystal):
    return float("nan")

def text(crystal):
    return "blue"

def fails(crystal):
    raise KeyError("Cu")

number = 3
"""


def _build(folder: Path, function: str, **properties: str) -> PythonOracle:
    (folder / "model.py").write_text(SOURCE)
    wanted = properties or {"edge_ang": "angstrom"}
    return build(Params(function=f"model.py:{function}", properties=wanted), OracleContext("cpu", str(folder)))


def test_a_number_or_a_dictionary_becomes_the_properties(tmp_path):
    ((_, one),) = _build(tmp_path, "edge").evaluate([COPPER], seed=0)
    assert isinstance(one, Measured)
    assert one.values == {"edge_ang": 3.0}
    ((_, two),) = _build(tmp_path, "both", edge_ang="angstrom", size="atoms").evaluate([COPPER], seed=0)
    assert isinstance(two, Measured)
    assert two.values == {"edge_ang": 3.0, "size": 1.0}
    assert COPPER.frac_coords[0][0] == 0  # the function got a copy


@pytest.mark.parametrize(
    ("function", "properties", "code", "words"),
    [
        ("fails", {}, FailureCode.ORACLE_ERROR, "KeyError: 'Cu'"),
        ("nan", {}, FailureCode.INVALID_VALUE, "edge_ang came out as nan"),
        ("text", {}, FailureCode.INVALID_VALUE, "no number"),
        ("edge", {"edge_ang": "angstrom", "size": "atoms"}, FailureCode.INVALID_VALUE, "expected a dictionary"),
        ("both", {"edge_ang": "angstrom", "gap_ev": "eV"}, FailureCode.INVALID_VALUE, "gave no gap_ev"),
    ],
)
def test_a_bad_answer_is_a_failure_with_a_code(tmp_path, function, properties, code, words):
    ((_, outcome),) = _build(tmp_path, function, **properties).evaluate([COPPER], seed=0)
    assert isinstance(outcome, Failed)
    assert outcome.code == code
    assert words in outcome.message


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("model.py", "cannot be read"),
        ("none.py:edge", "FileNotFoundError"),
        ("model.py:nothing", "AttributeError"),
        ("model.py:number", "is a int, not a function"),
        ("no_such_package.module:f", "ModuleNotFoundError"),
    ],
)
def test_a_function_that_cannot_be_had_is_refused_when_built(tmp_path, function, message):
    (tmp_path / "model.py").write_text(SOURCE)
    with pytest.raises(ValueError, match="function") as caught:
        build(Params(function=function, properties={"x": "1"}), OracleContext("cpu", str(tmp_path)))
    assert message in str(caught.value)


def test_a_function_of_an_installed_module_serves_too():
    oracle = build(Params(function="operator:attrgetter", properties={"x": "1"}), OracleContext("cpu"))
    ((_, outcome),) = oracle.evaluate([COPPER], seed=0)
    assert isinstance(outcome, Failed)  # it is called, and attrgetter takes no crystal
    assert outcome.message.startswith("TypeError")


def test_the_version_follows_the_source(tmp_path):
    before = _build(tmp_path, "edge").version
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.py").write_text(SOURCE + "\n# changed\n")
    changed = build(
        Params(function="model.py:edge", properties={"edge_ang": "angstrom"}), OracleContext("cpu", str(other))
    )
    assert changed.version != before


def test_a_function_written_anew_is_loaded_anew(tmp_path, monkeypatch):
    before = _build(tmp_path, "edge")
    monkeypatch.setattr(
        sys.modules[__name__], "SOURCE", SOURCE.replace("crystal.lattice.a\n", "2 * crystal.lattice.a\n")
    )
    after = _build(tmp_path, "edge")
    answers = [dict(oracle.evaluate([COPPER], seed=0))[0] for oracle in (before, after)]
    assert [answer.values for answer in answers] == [{"edge_ang": 3.0}, {"edge_ang": 6.0}]
    assert before.version != after.version
