"""Cells of tables that people open in a spreadsheet."""

from __future__ import annotations

from typing import Any

FORMULA_STARTS = ("=", "+", "-", "@")


def as_cell(value: Any) -> Any:
    """A spreadsheet runs a cell that begins like a formula; a leading apostrophe makes it text again."""
    if isinstance(value, str) and value.lstrip()[:1] in FORMULA_STARTS:
        return f"'{value}"
    return value
