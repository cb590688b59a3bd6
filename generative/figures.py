"""A measured number with everything one must know to quote it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Figure:
    """`value` in `unit`, over `n` cases; None where nothing could be measured. `rule` says how, in words."""

    value: float | None
    unit: str
    n: int
    rule: str


Figures = dict[str, Figure]


def share(truths: Iterable[bool], rule: str) -> Figure:
    """How many of them are true."""
    found = list(truths)
    return Figure(sum(found) / len(found) if found else None, "share", len(found), rule)


def mean(values: Iterable[float], unit: str, rule: str) -> Figure:
    found = list(values)
    return Figure(float(np.mean(found)) if found else None, unit, len(found), rule)


def median(values: Iterable[float], unit: str, rule: str) -> Figure:
    found = list(values)
    return Figure(float(np.median(found)) if found else None, unit, len(found), rule)


def as_json(figures: Figures) -> dict[str, dict[str, Any]]:
    return {name: asdict(figure) for name, figure in figures.items()}
