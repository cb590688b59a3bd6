"""Plain YAML, read strictly: no tags that build objects, no key twice, and words and numbers as people write them.

PyYAML follows YAML 1.1, in which `No` is false, `1:30` is 90 and `010` is 8. Here, as in YAML 1.2, only `true` and
`false` are truth values and numbers are decimal; `1e3` is one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from campaigns.errors import UserError

REMEDY_EXAMPLES = "Start from a ready campaign in campaigns/examples."
LARGEST_FILE = 1_000_000  # bytes
MOST_VALUES = 100_000  # once every alias is replaced by what it stands for
MOST_LEVELS = 30
STRING, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
NUMBER_STARTS = list("-+.0123456789")
PLAIN = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+", NUMBER_STARTS),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        NUMBER_STARTS,
    ),
    "merge": (r"<<", ["<"]),
}


class _RefusedError(yaml.MarkedYAMLError):
    """Good YAML that no campaign file may hold."""

    def __init__(self, problem: str, node: yaml.Node, remedy: str) -> None:
        super().__init__(None, None, problem, node.start_mark)
        self.remedy = remedy


class _StrictLoader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            _count_values(node, {}, ())
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == MERGE:
                continue
            if key.tag != STRING:
                found = repr(key.value) if isinstance(key, yaml.ScalarNode) else "here"
                raise _RefusedError(f"the key {found} is no plain word", key, "Put it in quotes or mend it.")
            if key.value in seen:  # PyYAML would keep the last one in silence
                raise _RefusedError(f"the key {key.value!r} stands here twice", key, "Keep one of them.")
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_decimal(self, node: yaml.ScalarNode) -> int:
        try:
            return int(node.value)
        except ValueError:  # Python reads 4,300 digits at most
            problem = f"{node.value[:20]!r} cannot be read as a number"
            raise _RefusedError(problem, node, "Write decimal digits, a few of them.") from None


class _Dumper(yaml.SafeDumper):
    """Puts in quotes whatever either version of YAML would read as something else than text."""


for _name, (_pattern, _first) in PLAIN.items():
    for _class in (_StrictLoader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), _first)
_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_decimal)


def _count_values(node: yaml.Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """How many values a node holds with every alias written out: a few lines of aliases can stand for billions."""
    if id(node) in above:
        raise _RefusedError("an alias stands for what it is part of", node, "Write the values out.")
    if len(above) > MOST_LEVELS:
        raise _RefusedError(f"nested more than {MOST_LEVELS} levels deep", node, "No key of a campaign is that deep.")
    if id(node) not in known:
        inside = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = [part for item in inside for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_count_values(part, known, (*above, id(node))) for part in parts)
    if known[id(node)] > MOST_VALUES:
        raise _RefusedError(f"holds more than {MOST_VALUES:,} values with its aliases", node, "Write less.")
    return known[id(node)]


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping a YAML file holds.

    Raises UserError naming file, line and remedy where there is no mapping to read.
    """
    try:
        if path.is_file() and path.stat().st_size > LARGEST_FILE:
            raise UserError(f"{path}: is larger than {LARGEST_FILE:,} bytes.", "Give the path of a campaign YAML.")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.", "Give the path of a campaign YAML.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}).", "Give the path of a campaign YAML.") from None
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path = Path("campaign")) -> dict[str, Any]:
    """The mapping a text holds; `path` is what errors name. Raises UserError as `read_yaml` does."""
    data = _parse(text, path)
    if data is None:
        raise UserError(f"{path}: the file is empty.", REMEDY_EXAMPLES)
    if not isinstance(data, dict):
        raise UserError(f"{path}: holds a {type(data).__name__}, not keys and values.", REMEDY_EXAMPLES)
    return data


def dump_yaml(data: dict[str, Any]) -> str:
    """What `read_yaml` reads back as the same plain values."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _parse(text: str, path: Path) -> Any:
    try:
        return yaml.load(text, Loader=_StrictLoader)  # a SafeLoader: builds nothing but plain values
    except _RefusedError as error:
        raise UserError(f"{_place(path, error)}: {error.problem}.", error.remedy) from None
    except yaml.constructor.ConstructorError as error:
        problem = str(error.problem).replace("could not determine a constructor for", "will not follow")
        tag = problem != error.problem
        remedy = "Only plain YAML values are read; remove the tag." if tag else "Mend that line."
        raise UserError(f"{_place(path, error)}: {problem}.", remedy) from None
    except yaml.MarkedYAMLError as error:
        remedy = "Mend that line; keys and values are written `key: value`, indented with spaces."
        raise UserError(f"{_place(path, error)}: not YAML ({error.problem}).", remedy) from None
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{path}: not YAML ({problem}).", "Save it as plain UTF-8 text.") from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply to be read.", "No key of a campaign is that deep.") from None
    except ValueError as error:  # a value with an explicit tag, like !!int ten
        problem = " ".join(str(error).split())
        raise UserError(f"{path}: a value does not fit its tag ({problem}).", "Remove the tag.") from None


def _place(path: Path, error: yaml.MarkedYAMLError) -> str:
    return f"{path}:{error.problem_mark.line + 1}" if error.problem_mark else str(path)
