"""Pydantic's report as SpecErrors: the YAML path, the value, and the choices or the remedy."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from campaigns.errors import SpecError

LONGEST_VALUE = 80
PASSWORD = re.compile(r"(://[^\s:/@]*):[^\s@]*@")  # in an address under a key that is misspelt
FAULT_AT = "fault_at"
WORDS = {
    "model_type": "must hold keys and values",
    "model_attributes_type": "must hold keys and values",
    "dict_type": "must hold keys and values",
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
}


class Strict(BaseModel):
    """Base of every model in a campaign file: unknown keys are errors, values are frozen, true is not 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and info.field_name is not None:
            members = _members(cls.model_fields[info.field_name].annotation)
            if bool not in members and (int in members or float in members):
                raise ValueError(f"{value!r} is not a number; write one")
        return value


def fault_at(path: str, problem: str) -> PydanticCustomError:
    """For validators of a whole model: raise it to name the key inside the model that is at fault."""
    return PydanticCustomError(FAULT_AT, "{problem}", {"path": path, "problem": problem})


def spec_errors(error: ValidationError, root: str = "", model: type[BaseModel] | None = None) -> list[SpecError]:
    """One SpecError per fault. `root` is the YAML path of what was validated as `model`.

    Unknown keys come first: where one is misspelt, the key that was meant is missing too.
    """
    found = sorted(error.errors(include_url=False), key=lambda item: item["type"] != "extra_forbidden")
    return [_spec_error(dict(item), root, model) for item in found]


def _spec_error(item: dict[str, Any], root: str, model: type[BaseModel] | None) -> SpecError:
    kind, value = item["type"], item.get("input")
    parts, owner, description = _locate(item["loc"], model, last_is_key=kind == "extra_forbidden")
    if kind == FAULT_AT:
        parts = [*parts, item["ctx"]["path"]]
    path = ".".join(map(_visible, [root, *parts] if root else parts)) or "campaign"
    if kind == "extra_forbidden":
        return _unknown_key(path, parts[-1], value, owner)
    if kind == "missing":
        return SpecError(path, "is missing.", f"Add it: {description}" if description else "Add it.")
    message = item["msg"].removeprefix("Value error, ").removesuffix(".")
    if kind in ("value_error", FAULT_AT):  # our own validators name value and remedy
        return SpecError(path, message if message.endswith("?") else f"{message}.")
    message = re.sub(r"^(Input|String|Dictionary|Tuple|List) should", "must", message).replace(" after validation", "")
    message = WORDS.get(kind, message)
    if kind == "tuple_type" and isinstance(value, str | int | float):
        description = f"Write [{value}]. {description}".strip()
    return SpecError(path, f"{message} (got {_short(value)}).", description)


def _unknown_key(path: str, key: str, value: Any, owner: type[BaseModel] | None) -> SpecError:
    keys = list(owner.model_fields) if owner else []
    near = get_close_matches(key, keys, n=1)
    choices = f"; the keys here are {', '.join(keys)}" if keys else "; there are no keys here"
    remedy = f"Did you mean {near[0]!r}?" if near else "Remove it or mend its spelling."
    first, *rest = re.split(r"[: ]+", key.strip(), maxsplit=1)
    if value is None and rest and first in keys:  # YAML takes `{target 1.2}` and `{target:1.2}` for a key of nothing
        remedy = f"Write `{first}: {rest[0]}`, with a colon and a space."
    return SpecError(path, f"unknown key (with value {_short(value)}){choices}.", remedy)


def _locate(
    loc: Sequence[int | str], model: type[BaseModel] | None, *, last_is_key: bool
) -> tuple[list[str], type[BaseModel] | None, str]:
    """Pydantic's location -> (YAML path, the model the last key belongs to, that key's description).

    What an item of a list or a mapping lacks in description it has from the key it stands under. Pydantic puts the
    name of a union's member into the location; it is no part of the YAML and is left out.
    """
    parts: list[str] = []
    annotation: Any = model
    owner, description = None, ""
    for place, part in enumerate(loc, start=1):
        members = _members(annotation)
        owner = next((m for m in members if isinstance(m, type) and issubclass(m, BaseModel)), None)
        if owner and part in owner.model_fields:
            field = owner.model_fields[str(part)]
            annotation, description = field.annotation, field.description or description
        elif inner := [m for m in members if get_origin(m) in (dict, tuple, list, Mapping)]:
            annotation = get_args(inner[0])[-1 if get_origin(inner[0]) is dict else 0]
        elif len(members) > 1 and not (last_is_key and place == len(loc)):
            continue
        parts.append(str(part))
    return parts, owner, description


def _members(annotation: Any) -> list[Any]:
    """What a type may be: the members of a union, without None, each without its Annotated."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return [m for part in get_args(annotation) if part is not types.NoneType for m in _members(part)]
    return [annotation]


def _visible(key: str) -> str:
    """A key that looks right may hold what nobody sees: a zero-width space, one that does not break."""
    return key if key.isascii() and key.isprintable() else ascii(key)


def _short(value: Any) -> str:
    text = PASSWORD.sub(r"\1:...@", repr(value))
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 4]} ..."
