"""The pages of docs/reference, from the code: every command, every key of a campaign file, every kind.

    python -m optimizer.reference_pages docs/reference

writes them again; a test compares what is committed with what this makes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer
from pydantic import BaseModel

from campaigns.elements import ELEMENT_GROUPS
from campaigns.goals import Constraint
from campaigns.kinds import GROUPS, available_kinds, load_kind
from campaigns.search_space import Elements, SearchSpace
from campaigns.spec import Budget, CampaignSpec, Export, OracleSpec, Refinement, Rule
from optimizer.catalogue import Kind, Parameter, describe_kinds, measured_by, parameters
from optimizer.schema import ROLE_OF_FIELD

REMEDY = "python -m optimizer.reference_pages docs/reference"
MADE = f"<!-- Made from the code by `{REMEDY}`: change the code, not this page. -->"
SECTIONS: dict[str, type[BaseModel]] = {
    "space": SearchSpace,
    "space.elements": Elements,
    "budget": Budget,
    "export": Export,
}
"""Keys that hold keys; every other one holds a value."""
FORMS: dict[str, tuple[str, type[BaseModel]]] = {
    "A bound of `constraints`": ("Like `energy_above_hull_ev_atom: {max: 0.1}`.", Constraint),
    "A rule of `only_if`": ("Of an oracle, like `only_if: {energy_above_hull_ev_atom: {max: 0.2}}`.", Rule),
    "A schedule of `refine`": ("One of the two; `refine: off` where neither.", Refinement),
}
ROLES = {
    "oracle": "What measures a crystal. Any of them also takes `only_if` and `max_calls` ([campaign.md](campaign.md)).",
    "start": "Where the first crystals come from.",
    "generator": "Crystals to latents and back.",
    "surrogate": "Latents to a posterior over properties.",
    "acquisition": "A posterior to the next batch.",
    "executor": "Where candidates are evaluated.",
    "representation": "Crystals to codes and back: the affair of a generator, not named in a campaign file.",
}
WORDS = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}
"""What the value of an option is called, by its type."""


def pages() -> dict[str, str]:
    """File name -> text of every page."""
    return {"commands.md": commands_page(), "campaign.md": campaign_page(), "kinds.md": kinds_page()}


def commands_page() -> str:
    """Every command with its arguments and options, from the console application."""
    from optimizer.cli import app

    lines = ["# Every command", "", MADE, ""]
    lines += [
        "`--help` after any command prints the same. Exit codes: 0 done, 2 something for you to mend (one line on"
    ]
    lines += ["standard error says what), 3 interrupted and resumable.", ""]
    for name, command in _commands(typer.main.get_command(app)):
        options = [_option(each, _words(command)) for each in command.params if each.name != "help"]
        usage = " ".join([name, *(each if needed else f"[{each}]" for each, needed, _, _ in options)])
        lines += [f"## {name}", "", f"    {usage}", "", *(" ".join(command.help.split("\n")).split("  ")), ""]
        rows = [(f"`{each}`", default, meaning) for each, _, default, meaning in options]
        lines += [*_table(("argument or option", "default", "meaning"), rows), ""] if rows else []
        if "--set" in {option for each in command.params for option in each.opts}:
            lines += ["What `--set` changes:", "", *_training_settings(), ""]
    return _text(lines)


def campaign_page() -> str:
    """Every key of a campaign file, from the models that read it."""
    lines = ["# Every key of a campaign file", "", MADE, ""]
    lines += ["One YAML file is one campaign. `optimize check FILE` names the first thing that is wrong with it.", ""]
    heads = ("key", "default", "takes", "meaning")
    tables: dict[str, type[BaseModel]] = {"": CampaignSpec, **SECTIONS}
    for name, model in tables.items():
        prefix = f"{name}." if name else ""
        rows = [_row(each, prefix) for each in parameters(model) if prefix + each.name not in SECTIONS]
        lines += [f"## `{name}`" if name else "## The file", "", *_table(heads, rows), ""]
    lines += ["## Beside the kind of an oracle", ""]
    own = [_row(each) for each in parameters(OracleSpec) if each.name != "kind"]
    lines += [*_table(heads, own), ""]
    for heading, (sentence, model) in FORMS.items():
        lines += [f"## {heading}", "", sentence, "", *_table(heads, [_row(each) for each in parameters(model)]), ""]
    lines += ["## Groups of elements", "", "Wherever symbols are taken. Symbols need no quotes: `No` is nobelium.", ""]
    lines += _table(("group", "elements"), [(f"`{name}`", " ".join(found)) for name, found in ELEMENT_GROUPS.items()])
    return _text(lines)


def kinds_page() -> str:
    """Every kind that comes with the package, with its parameters; oracles with what they measure."""
    lines = ["# Every kind", "", MADE, ""]
    lines += ["A kind is named by a bare word, `relax`, or with its parameters, `{kind: relax, max_steps: 100}`."]
    lines += ["`optimize kinds` prints this list with the kinds that you added. Units stand in the names.", ""]
    for role, sentence in ROLES.items():
        field = next((field for field, found in ROLE_OF_FIELD.items() if found == role), None)
        lines += [f"## {role}" + (f": the key `{field}`" if field else ""), "", sentence, ""]
        ours = {name for name, module in available_kinds(role).items() if module.startswith(f"{GROUPS[role]}.")}
        for kind in describe_kinds(role):
            if kind.name in ours:
                lines += [f"### {kind.name}", "", f"{kind.line}.", "", *_measured(kind), *_parameters(kind)]
    return _text(lines)


def _training_settings() -> list[str]:
    from generative.training_settings import meanings

    rows = [
        (f"`{name}`", f"`{default}`" if default != "" else "none", said) for name, (default, said) in meanings().items()
    ]
    return _table(("setting", "default", "meaning"), rows)


def _commands(command: Any, name: str = "optimize") -> Iterator[tuple[str, Any]]:
    """Every command of the console application, as a person calls it; `Any` is whatever typer makes of a function."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for each, found in inner.items():
        yield from _commands(found, f"{name} {each}")


def _words(command: Any) -> dict[str, str]:
    """Parameter of a command's function -> what its value is called; a flag has none."""
    hints = get_type_hints(command.callback)
    members = {name: {hint, *get_args(hint)} & set(WORDS) for name, hint in hints.items()}
    return {name: WORDS[found.pop()] for name, found in members.items() if found}


def _option(each: Any, words: dict[str, str]) -> tuple[str, bool, str, str]:
    """(as it is written, is it required, its default, what it means)"""
    if each.param_type_name == "argument":
        name = each.name.upper() + (" ..." if each.nargs == -1 else "")
    else:
        value = each.metavar or words.get(each.name, "TEXT")
        name = ", ".join(each.opts) + ("" if each.is_flag else f" {value}")
    absent = each.default is None or each.default is False
    default = "required" if each.required else "none" if absent else f"`{each.default}`"
    return name, each.required, default, each.help or ""


def _row(each: Parameter, prefix: str = "") -> tuple[str, ...]:
    default = each.default if each.default in ("required", "none") else f"`{each.default}`"
    return f"`{prefix}{each.name}`", default, each.type, each.description


def _parameters(kind: Kind) -> list[str]:
    if kind.problem:
        return [kind.problem, ""]
    if not kind.parameters:
        return ["No parameters.", ""]
    rows = [_row(each) for each in kind.parameters]
    for name, field in load_kind(kind.role, kind.name).Params.model_fields.items():
        rows += [_row(each, f"{name}.") for model in _models(field.annotation) for each in parameters(model)]
    return [*_table(("parameter", "default", "takes", "meaning"), rows), ""]


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models among what a parameter may be: their keys are keys of the campaign file, too."""
    members = [annotation, *get_args(annotation)]
    return [each for each in members if isinstance(each, type) and issubclass(each, BaseModel)]


def _measured(kind: Kind) -> list[str]:
    if kind.role != "oracle":
        return []
    found = measured_by(kind.name)
    if found is None:
        return ["Measures what its parameters name.", ""]
    rows = [(f"`{each.name}`", each.unit, each.description) for each in found]
    return [*_table(("measures", "unit", "what it is"), rows), ""]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [list(heads), ["---"] * len(heads), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines]


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: Sequence[str]) -> None:
    """Write every page into the folder that is named."""
    folder = Path(*arguments)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)


if __name__ == "__main__":
    main(sys.argv[1:])
