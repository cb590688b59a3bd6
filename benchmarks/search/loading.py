"""Finding tasks and arms: a kind is a module in `benchmarks.search.tasks` or `benchmarks.search.arms`.

On the command line a kind may carry parameters: `turbo`, or `turbo+failures=4+sobol=false`; dots reach inside.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import yaml
from pydantic import ValidationError

from campaigns.errors import UnknownChoiceError
from campaigns.validation import spec_errors


def kinds(role: str) -> list[str]:
    """Names of the modules for `role`, "tasks" or "arms"."""
    package = importlib.import_module(f"benchmarks.search.{role}")
    return sorted(info.name for info in pkgutil.iter_modules(package.__path__))


def build_named(role: str, text: str, context: Any) -> Any:
    """The task or arm that `text` names. Raises UnknownChoiceError or SpecError naming what is wrong."""
    module, changes = _module(role, text)
    try:
        params = module.Params.model_validate(_nested(changes))
    except ValidationError as error:
        raise spec_errors(error, text, module.Params)[0] from None
    return module.build(params, context)


def calls_of(task: str) -> int:
    """How many calls a run of the task has, unless it is told otherwise."""
    return int(_module("tasks", task)[0].CALLS)


def _module(role: str, text: str) -> tuple[Any, list[str]]:
    """The module of a kind, and the changes of its parameters."""
    kind, *changes = text.split("+")
    if kind not in kinds(role):
        raise UnknownChoiceError(f"--{role}", kind, kinds(role))
    return importlib.import_module(f"benchmarks.search.{role}.{kind}"), changes


def _nested(changes: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for change in changes:
        path, _, value = change.partition("=")
        *parents, last = path.split(".")
        place = found
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = yaml.safe_load(value)
    return found
