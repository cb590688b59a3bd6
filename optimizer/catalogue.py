"""What kinds there are: one line each, their parameters with type, default and unit, and what oracles measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from campaigns.errors import SpecError
from campaigns.kinds import load_kind
from campaigns.records import Property
from optimizer.schema import first_sentence, loaded_kinds

WORDS = {"string": "text", "boolean": "true | false", "object": "keys and values"}
"""Types of JSON Schema, as a person calls them."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kind, or one key of a campaign file. Units stand in the name and the description."""

    name: str
    type: str
    default: str  # as YAML; "required" where there must be a value, "none" where there need not be one
    description: str


@dataclass(frozen=True)
class Kind:
    """One kind of a role; `problem` says why it cannot be loaded here, and is empty where it can."""

    role: str
    name: str
    line: str
    parameters: tuple[Parameter, ...] = ()
    problem: str = ""


def describe_kinds(role: str) -> list[Kind]:
    """Every kind of a role (a key of `campaigns.kinds.GROUPS`), by name."""
    found = []
    for name, module in loaded_kinds(role).items():
        if isinstance(module, SpecError):
            found.append(Kind(role, name, "", problem=str(module)))
        else:
            found.append(Kind(role, name, first_sentence(module), parameters(module.Params)))
    return found


def measured_by(kind: str) -> tuple[Property, ...] | None:
    """What an oracle measures with the defaults of its parameters; None where the campaign file has to say it."""
    from optimizer.protocols import OracleContext  # takes torch with it

    module = load_kind("oracle", kind)
    try:
        params = module.Params()
    except ValidationError:
        return None
    return tuple(module.build(params, OracleContext("cpu")).properties)


def parameters(model: type[BaseModel]) -> tuple[Parameter, ...]:
    """Every key of a model, in its order."""
    schema = model.model_json_schema()
    types = schema.get("properties", {})
    return tuple(
        Parameter(
            name=name,
            type=_type(types.get(field.alias or name, {}), schema.get("$defs", {})),
            default="required"
            if field.is_required()
            else written(field.get_default(call_default_factory=True, validated_data={})),
            description=field.description or "",
        )
        for name, field in model.model_fields.items()
    )


def written(value: object) -> str:
    """A default as a campaign file has it; `none` where there is no value."""
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        dumped = value.model_dump(mode="json")
        return dumped["kind"] if "kind" in dumped else written(dumped)
    if isinstance(value, tuple):
        return f"[{', '.join(written(each) for each in value)}]"
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n...\n").strip()


def _type(schema: dict[str, Any], models: dict[str, Any]) -> str:
    """A JSON Schema in a few words."""
    if "enum" in schema:
        return " | ".join(str(choice) for choice in schema["enum"])
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
        found = [_type(each, models) for each in alternatives if each.get("type") != "null"]
        return " | ".join(dict.fromkeys(found))
    if "const" in schema:
        return str(schema["const"])
    if "$ref" in schema:
        return _model(str(schema["$ref"]).rpartition("/")[2], models)
    kind = schema.get("type", "any")
    if kind == "array" and "items" in schema:
        if schema.get("minItems") == schema.get("maxItems") == 2:
            return "[low, high]"
        return f"list of {_type(schema['items'], models)}"
    if kind == "object" and isinstance(values := schema.get("additionalProperties"), dict):
        return f"name: {_type(values, models)}"
    return WORDS.get(kind, kind) + _bounds(schema)


def _model(name: str, models: dict[str, Any]) -> str:
    """A model of its own: a kind, what it may be written as, or its keys."""
    if name in ("KindSpec", "OracleSpec"):
        return "kind"
    definition = models[name]
    if "properties" in definition:
        return "{" + ", ".join(f"{key}: " for key in definition["properties"]).strip() + "}"
    return _type(definition, models)


def _bounds(schema: dict[str, Any]) -> str:
    """The least and the largest number, in words."""
    signs = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    return "".join(f", {word} {schema[key]}" for key, word in signs.items() if key in schema)
