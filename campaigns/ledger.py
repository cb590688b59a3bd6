"""What a ledger tells besides candidates and outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RoundRecord:
    """One finished phase of one round."""

    round: int
    phase: str
    failures: Mapping[str, int]  # failure code -> count
    figures: Mapping[str, Any]
    finished_at: str  # UTC, ISO 8601


@dataclass(frozen=True)
class GeneratorRecord:
    """One generator of the campaign; `artifact` is None for weights that came with the package."""

    version: str
    artifact: str | None
    figures: Mapping[str, Any]
    accepted: bool
    added_at: str


@dataclass(frozen=True)
class Event:
    """Something a reader of the ledger should know."""

    at: str
    kind: str
    message: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Spent:
    """What the campaign has cost. `calls`: candidates that entered the dearest stage, failures included."""

    calls: int
    stage_counts: Mapping[str, int]  # stage -> outcomes
    stage_failures: Mapping[str, int]  # stage -> failed outcomes
    stage_seconds: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """Oracle seconds over all stages, as the oracles report them."""
        return sum(self.stage_seconds.values())
