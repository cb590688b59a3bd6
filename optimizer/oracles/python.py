"""Call a function of the user's: crystal -> number, or dictionary of numbers.

    oracles:
      - kind: python
        function: my_model.py:predict      # or package.module:function
        properties: {band_gap_ev: eV}

The function gets a `pymatgen.core.Structure`. An exception, a number that is not finite or a missing key
fails that crystal only.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field
from pymatgen.core import Structure

from campaigns.records import Failed, FailureCode, Measured, Property
from campaigns.spec import Strict
from optimizer.measuring import one_by_one

if TYPE_CHECKING:
    from optimizer.protocols import OracleContext


class Params(Strict):
    """Which function, and the properties it gives."""

    function: str = Field(description="file.py:function (relative to the campaign file) or package.module:function.")
    properties: dict[str, str] = Field(min_length=1, description="Property name -> unit, like {band_gap_ev: eV}.")
    seconds: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="Rough cost of one crystal; the dearest oracle is budgeted."
    )


@dataclass(frozen=True)
class PythonOracle:
    function: str  # with the file's full path
    content: str  # hash of that file
    properties: tuple[Property, ...]
    nominal_seconds: float
    version: str

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        return one_by_one(xs, self._measure)

    def _measure(self, crystal: Structure) -> Measured | Failed:
        answer = _function(self.function, self.content)(crystal.copy())
        names = [prop.name for prop in self.properties]
        if not isinstance(answer, Mapping):
            if len(names) > 1:
                given = type(answer).__name__
                return Failed(FailureCode.INVALID_VALUE, f"gave a {given}; expected a dictionary of {', '.join(names)}")
            answer = {names[0]: answer}
        if missing := [name for name in names if name not in answer]:
            return Failed(FailureCode.INVALID_VALUE, f"gave no {missing[0]}; it gave {', '.join(map(str, answer))}")
        try:
            values = {name: float(answer[name]) for name in names}
        except (TypeError, ValueError) as error:
            return Failed(FailureCode.INVALID_VALUE, f"gave something that is no number: {error}")
        return Measured(values, crystal)


def build(params: Params, context: OracleContext) -> PythonOracle:
    """Raises ValueError where the function cannot be imported or is none."""
    source, separator, name = params.function.rpartition(":")
    if not separator or not source or not name:
        raise ValueError(f"function {params.function!r} cannot be read; write file.py:function or module:function")
    if source.endswith(".py"):
        source = str((Path(context.folder) / source).resolve())
    location = f"{source}:{name}"
    try:
        content = _content(Path(source)) if source.endswith(".py") else ""
        function = _function(location, content)
    except (Exception, SystemExit) as error:  # importing runs the user's code
        raise ValueError(f"function {params.function!r} cannot be loaded: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise ValueError(f"function {params.function!r} is a {type(function).__name__}, not a function")
    if not _takes_one_crystal(function):
        raise ValueError(f"function {params.function!r} cannot be called with one crystal; give it one argument")
    properties = tuple(Property(given, unit, f"from {params.function}") for given, unit in params.properties.items())
    return PythonOracle(
        location, content, properties, params.seconds, f"python-1 {params.function} {_digest(function)}"
    )


@lru_cache(maxsize=16)
def _function(location: str, content: str) -> Callable[[Structure], Any]:
    """Loaded once, and anew where the file's content has changed since."""
    source, _, name = location.rpartition(":")
    if not source.endswith(".py"):
        return getattr(importlib.import_module(source), name)
    module_name = f"user_oracle_{hashlib.sha256((source + content).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, source)
    if spec is None or spec.loader is None or not Path(source).is_file():
        raise FileNotFoundError(f"{source}: no such file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickling look their module up
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        raise AttributeError(f"there is no {name!r} among {', '.join(n for n in vars(module) if n[0] != '_')}")
    return getattr(module, name)


def _takes_one_crystal(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # some functions of C extensions tell nothing about their arguments
        return True
    return True


def _digest(function: Callable[..., Any]) -> str:
    """Hash of the file the function stands in, so that a changed model is a changed oracle."""
    try:
        path = inspect.getsourcefile(function)
    except TypeError:
        path = None
    return _content(Path(path)) if path else "unversioned"


def _content(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12] if file.is_file() else ""
