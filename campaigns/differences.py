"""Where two campaign specs differ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def differences(old: Any, new: Any, path: str) -> Iterable[tuple[str, Any, Any]]:
    """(dotted path, old, new) of every leaf that differs between two JSON trees; `path` is where they stand."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from differences(old.get(key), new.get(key), f"{path}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (was, now) in enumerate(zip(old, new, strict=True)):
            yield from differences(was, now, f"{path}.{index}")
    elif old != new:
        yield path, old, new
