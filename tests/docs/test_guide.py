"""docs/guide.md says what the campaign file really takes: keys, defaults, groups, kinds, failure codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from campaigns.elements import ELEMENT_GROUPS
from campaigns.kinds import available_kinds
from campaigns.records import FailureCode
from campaigns.spec import Budget, CampaignSpec, Elements, Export, SearchSpace

GUIDE = (Path(__file__).parents[2] / "docs" / "guide.md").read_text("utf-8")
SECTIONS: dict[str, type[BaseModel]] = {
    "space": SearchSpace,
    "space.elements": Elements,
    "budget": Budget,
    "export": Export,
}


def keys(model: type[BaseModel] = CampaignSpec, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every key of a campaign file with its default as YAML: "required" or "none" where there is no value."""
    for name, field in model.model_fields.items():
        path = prefix + name
        if path in SECTIONS:
            yield from keys(SECTIONS[path], f"{path}.")
        elif field.is_required():
            yield path, "required"
        else:
            yield path, written(field.get_default(call_default_factory=True))


def written(value: object) -> str:
    """A default as the guide writes it."""
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        dumped = value.model_dump(mode="json")
        return dumped["kind"] if isinstance(dumped, dict) else yaml.safe_dump(dumped, default_flow_style=True).strip()
    if isinstance(value, tuple):
        return f"[{', '.join(written(each) for each in value)}]"
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


def table(heading: str) -> list[list[str]]:
    """Cells of the first table under a heading or an introducing line."""
    rows = GUIDE.partition(heading)[2].partition("|---")[2].splitlines()[1:]
    cells = []
    for row in rows:
        if not row.startswith("|"):
            break
        cells.append([cell.strip() for cell in row.strip("|").split("|")])
    return cells


def test_every_key_stands_in_the_guide_with_its_default():
    described = {key.strip("`"): default.strip("`") for key, default, _ in table("## Every key")}
    assert described == dict(keys())


def test_every_group_of_elements_is_named():
    sentence = GUIDE.partition("Groups of elements:")[2].partition(". ")[0]
    assert set(re.findall(r"`(\w+)`", sentence)) == set(ELEMENT_GROUPS)


@pytest.mark.parametrize("role", ["generator", "start", "oracle", "surrogate", "acquisition", "executor"])
def test_every_kind_is_named(role):
    listed = {row[0]: set(re.findall(r"`(\w+)`", row[1])) for row in table("## Kinds")}
    assert listed[role] == set(available_kinds(role))


def test_every_failure_code_is_explained():
    rows = table("## Stopping and going on")
    assert {code for row in rows for code in re.findall(r"`(\w+)`", row[0])} == {code.value for code in FailureCode}
