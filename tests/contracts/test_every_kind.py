"""What every kind of every role owes to the campaign file, `optimize kinds` and the schema."""

from __future__ import annotations

import json
from types import ModuleType

import pytest
from pydantic import BaseModel

from campaigns.errors import SpecError
from campaigns.kinds import GROUPS, available_kinds, build_kind, load_kind
from campaigns.spec import KindSpec
from optimizer.catalogue import describe_kinds
from optimizer.schema import campaign_schema


@pytest.fixture
def module(role: str, kind: str) -> ModuleType:
    return load_kind(role, kind)


def test_a_kind_is_a_docstring_parameters_and_a_constructor(module):
    assert (module.__doc__ or "").strip()
    assert issubclass(module.Params, BaseModel)
    assert callable(module.build)


def test_parameters_are_described_and_none_is_let_through_unread(module):
    assert module.Params.model_config["extra"] == "forbid"
    assert [name for name, field in module.Params.model_fields.items() if not field.description] == []
    json.dumps(module.Params.model_json_schema())


def test_a_missing_or_unknown_parameter_is_named_with_its_path(role, kind, module):
    wrong = f"{missing[0]}: is missing" if (missing := _required(module)) else "no_such_key: unknown key"
    with pytest.raises(SpecError, match=rf"^here\.{wrong}"):
        build_kind(role, KindSpec(kind=kind, no_such_key=1), None, "here")


def test_defaults_written_out_are_read_back_as_the_same(module):
    if required := _required(module):
        pytest.skip(f"cannot do without {', '.join(required)}")
    params = module.Params()
    assert module.Params.model_validate(json.loads(params.model_dump_json())) == params


def _required(module: ModuleType) -> list[str]:
    return [name for name, field in module.Params.model_fields.items() if field.is_required()]


def test_it_is_listed(role, kind, module):
    (listed,) = [each for each in describe_kinds(role) if each.name == kind]
    assert listed.line
    assert {each.name for each in listed.parameters} == set(module.Params.model_fields)


def test_the_schema_of_a_campaign_file_holds_them_all():
    definitions = campaign_schema()["$defs"]
    for role in set(GROUPS) - {"representation"}:  # a generator's own affair
        names, *_ = definitions[role]["oneOf"]
        assert names["enum"] == list(available_kinds(role))
