"""The JSON Schema of a campaign file, for editors: the spec and every discovered kind's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from campaigns.errors import SpecError
from campaigns.kinds import available_kinds, load_kind
from campaigns.spec import CampaignSpec

ROLE_OF_FIELD = {
    "generator": "generator",
    "start": "start",
    "oracles": "oracle",
    "surrogate": "surrogate",
    "acquisition": "acquisition",
    "executor": "executor",
}
LIST_FIELDS = ("start", "oracles")


def loaded_kinds(role: str) -> dict[str, ModuleType | SpecError]:
    """Kind -> its module, or why it cannot be loaded (an optional package that is not installed)."""
    found: dict[str, ModuleType | SpecError] = {}
    for kind in available_kinds(role):
        try:
            found[kind] = load_kind(role, kind)
        except SpecError as error:
            found[kind] = error
    return found


def first_sentence(module: ModuleType) -> str:
    """First sentence of the module's docstring."""
    paragraph = " ".join((module.__doc__ or "").strip().partition("\n\n")[0].split())
    return paragraph.partition(". ")[0].removesuffix(".")


def campaign_schema() -> dict[str, Any]:
    """CampaignSpec's JSON Schema (draft 2020-12) with one alternative per kind, told apart by `kind`."""
    schema = CampaignSpec.model_json_schema()
    definitions = schema["$defs"]
    definitions.pop("KindSpec")
    beside = definitions.pop("OracleSpec")["properties"]  # every oracle may carry a rule and a budget
    beside.pop("kind")
    for field, role in ROLE_OF_FIELD.items():
        definitions[role] = _any_kind(role, loaded_kinds(role), definitions, beside if role == "oracle" else {})
        one = {"$ref": f"#/$defs/{role}"}
        alternatives: dict[str, Any] = one
        if field in LIST_FIELDS:
            alternatives = {"anyOf": [{"type": "array", "items": one, "minItems": 1}, one]}
        kept = {k: v for k, v in schema["properties"][field].items() if k in ("default", "description")}
        schema["properties"][field] = {**alternatives, **kept}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _any_kind(
    role: str, kinds: Mapping[str, ModuleType | SpecError], definitions: dict[str, Any], beside: Mapping[str, Any]
) -> dict[str, Any]:
    """A bare name, or one object per kind, with the keys `beside` its own.

    The nested models of its parameters go into `definitions`.
    """
    options: list[dict[str, Any]] = [{"enum": list(kinds)}]
    for kind, module in kinds.items():
        prefix = f"{role}.{kind}."
        if isinstance(module, SpecError):
            own: dict[str, Any] = {"type": "object", "properties": {}, "description": module.message}
        else:
            own = module.Params.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
            own["description"] = first_sentence(module)
        definitions.update({prefix + name: nested for name, nested in own.pop("$defs", {}).items()})
        own["properties"] = {"kind": {"const": kind}, **own.get("properties", {}), **beside}
        own["required"] = ["kind", *own.get("required", [])]
        options.append(own)
    return {"oneOf": options}
