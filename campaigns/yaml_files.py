"""Plain YAML, read strictly: no tags that build objects, no key twice, `1e3` is a number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from campaigns.errors import UserError

REMEDY_EXAMPLES = "Start from a ready campaign in campaigns/examples."


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a repeated key; PyYAML keeps the last one in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    problem = f"the key {key.value!r} stands here twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML follows, wants a dot and a signed exponent; everybody writes 1e-3.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping a YAML file holds.

    Raises UserError naming file, line and remedy where there is no mapping to read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.", "Give the path of a campaign YAML.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}).", "Give the path of a campaign YAML.") from None
    data = _parse(text, path)
    if data is None:
        raise UserError(f"{path}: the file is empty.", REMEDY_EXAMPLES)
    if not isinstance(data, dict):
        raise UserError(f"{path}: holds a {type(data).__name__}, not keys and values.", REMEDY_EXAMPLES)
    return data


def _parse(text: str, path: Path) -> Any:
    try:
        return yaml.load(text, Loader=_StrictLoader)  # a SafeLoader: builds nothing but plain values
    except yaml.constructor.ConstructorError as error:
        problem = str(error.problem).replace("could not determine a constructor for", "will not follow")
        tag = problem != error.problem
        remedy = "Only plain YAML values are read; remove the tag." if tag else "Keep one of them."
        raise UserError(f"{_place(path, error)}: {problem}.", remedy) from None
    except yaml.MarkedYAMLError as error:
        remedy = "Mend that line; keys and values are written `key: value`, indented with spaces."
        raise UserError(f"{_place(path, error)}: not YAML ({error.problem}).", remedy) from None
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{path}: not YAML ({problem}).", "Save it as plain UTF-8 text.") from None


def _place(path: Path, error: yaml.MarkedYAMLError) -> str:
    return f"{path}:{error.problem_mark.line + 1}" if error.problem_mark else str(path)
