"""A kind is a module.

`kind: exact_gp` under `surrogate:` loads `surrogates/models/exact_gp.py`, which defines `Params` (a pydantic
model that forbids extra keys) and `build(params, context)`. To add a kind, add the file. A third party ships
one in its own distribution through the entry-point group `latentore.<group>`, for example

    [project.entry-points."latentore.optimizer.oracles"]
    my_oracle = "my_package.my_oracle"
"""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError

from campaigns.errors import SpecError, UnknownChoiceError
from campaigns.spec import KindSpec
from campaigns.validation import spec_errors

GROUPS = {
    "representation": "generative.representations",
    "generator": "generative.models",
    "surrogate": "surrogates.models",
    "start": "optimizer.starts",
    "oracle": "optimizer.oracles",
    "acquisition": "optimizer.acquisition",
    "executor": "optimizer.executors",
}


def available_kinds(role: str) -> dict[str, str]:
    """Kind -> module path of every kind for `role` (a key of GROUPS); ours win. Imports none of them."""
    group = GROUPS[role]
    package = importlib.import_module(group)
    found = {
        info.name: f"{group}.{info.name}"
        for info in pkgutil.iter_modules(package.__path__)
        if not info.ispkg and not info.name.startswith("_")
    }
    for point in entry_points(group=f"latentore.{group}"):
        found.setdefault(point.name, point.module)
    return dict(sorted(found.items()))


def load_kind(role: str, kind: str, path: str = "kind") -> ModuleType:
    """The module of `kind`. Raises UnknownChoiceError naming `path`, the value and the choices."""
    choices = available_kinds(role)
    if kind not in choices:
        raise UnknownChoiceError(path, kind, list(choices))
    try:
        return importlib.import_module(choices[kind])
    except ImportError as error:
        raise SpecError(path, f"{kind!r} cannot be loaded ({error}).", "Install what it needs.") from error


def kind_params(role: str, spec: KindSpec, path: str) -> tuple[ModuleType, BaseModel]:
    """Load the kind and validate its parameters. Raises SpecError for the first bad one."""
    module = load_kind(role, spec.kind, f"{path}.kind")
    try:
        return module, module.Params.model_validate(spec.params)
    except ValidationError as error:
        raise spec_errors(error, path, module.Params)[0] from None


def build_kind(role: str, spec: KindSpec, context: Any, path: str) -> Any:
    """Validate the parameters and build the object. Its ValueErrors become SpecErrors at `path`."""
    module, params = kind_params(role, spec, path)
    try:
        return module.build(params, context)
    except ValueError as error:
        raise SpecError(path, str(error)) from error
