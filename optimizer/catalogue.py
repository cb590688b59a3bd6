"""What kinds there are: one line each, and their parameters with type, default and unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from campaigns.errors import SpecError
from optimizer.schema import first_sentence, loaded_kinds


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kind. Units stand in the name and the description."""

    name: str
    type: str
    default: str  # "required" where there is none
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
            found.append(Kind(role, name, first_sentence(module), _parameters(module.Params)))
    return found


def _parameters(params: type[BaseModel]) -> tuple[Parameter, ...]:
    types = params.model_json_schema()["properties"] if params.model_fields else {}
    return tuple(
        Parameter(
            name=name,
            type=_type(types[field.alias or name]),
            default="required" if field.is_required() else repr(field.get_default(call_default_factory=True)),
            description=field.description or "",
        )
        for name, field in params.model_fields.items()
    )


def _type(schema: dict[str, Any]) -> str:
    """A JSON Schema in a word or two."""
    if "enum" in schema:
        return " | ".join(str(choice) for choice in schema["enum"])
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
        return " | ".join(dict.fromkeys(_type(each) for each in alternatives))
    if "const" in schema:
        return str(schema["const"])
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if schema.get("type") == "array" and "items" in schema:
        return f"list of {_type(schema['items'])}"
    return str(schema.get("type", "any"))
