"""A kind is a module: found by its name, checked by its own Params."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from campaigns import kinds
from campaigns.errors import SpecError, UnknownChoiceError
from campaigns.kinds import available_kinds, build_kind, load_kind
from campaigns.spec import KindSpec

TOY = '''"""A toy oracle."""
from campaigns.validation import Strict

class Params(Strict):
    factor: float = 2.0

def build(params, context):
    if params.factor == 0:
        raise ValueError("factor 0 measures nothing; write another")
    return (params.factor, context)
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A third party's oracle, installed with an entry point."""
    (tmp_path / "toy_oracle_package.py").write_text(TOY)
    (tmp_path / "broken_oracle_package.py").write_text("import a_package_nobody_has")
    monkeypatch.syspath_prepend(str(tmp_path))
    group = "latentore.optimizer.oracles"
    points = [
        EntryPoint("toy", "toy_oracle_package", group),
        EntryPoint("broken", "broken_oracle_package", group),
        EntryPoint("relax", "toy_oracle_package", group),
    ]
    monkeypatch.setattr(kinds, "entry_points", lambda group: [p for p in points if p.group == group])
    yield
    sys.modules.pop("toy_oracle_package", None)


def test_our_kinds_are_the_modules_of_their_package():
    found = available_kinds("oracle")
    assert found["relax"] == "optimizer.oracles.relax"
    assert not [name for name in found if name.startswith("_")]


def test_a_third_party_kind_is_found_and_built_and_cannot_replace_ours(toy):
    assert available_kinds("oracle")["relax"] == "optimizer.oracles.relax"
    assert build_kind("oracle", KindSpec(kind="toy"), "context", "oracles.0") == (2.0, "context")
    assert build_kind("oracle", KindSpec.model_validate({"kind": "toy", "factor": 3}), None, "") == (
        3.0,
        None,
    )


def test_an_unknown_kind_names_the_choices():
    with pytest.raises(UnknownChoiceError) as caught:
        load_kind("oracle", "relaxx", "oracles.0.kind")
    assert str(caught.value).startswith("oracles.0.kind: unknown 'relaxx'; choose one of")
    assert caught.value.remedy == "Did you mean 'relax'?"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"factr": 3}, "oracles.0.factr: unknown key (with value 3); the keys here are factor. Did you mean"),
        ({"factor": "big"}, "oracles.0.factor: must be a valid number"),
        ({"factor": 0}, "oracles.0: factor 0 measures nothing; write another"),
    ],
)
def test_parameters_are_checked_by_the_kind_itself(toy, written, message):
    with pytest.raises(SpecError) as caught:
        build_kind("oracle", KindSpec.model_validate({"kind": "toy", **written}), None, "oracles.0")
    assert str(caught.value).startswith(message)


def test_a_kind_that_lacks_a_package_says_which(toy):
    with pytest.raises(SpecError, match="a_package_nobody_has"):
        load_kind("oracle", "broken", "oracles.0.kind")
