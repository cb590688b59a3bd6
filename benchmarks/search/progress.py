"""How far runs of a campaign have come: the best feasible value by call, or the dominated area of two goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.metrics import best_so_far
from benchmarks.search.runs import Run
from campaigns.spec import parse_spec
from optimizer.objective import CampaignObjective, Values


def progress_curves(runs: Mapping[str, Sequence[Run]], length: int) -> dict[str, list[NDArray[np.float64]]]:
    """Arm -> a curve per run, `[length]`, higher is better. The reference point of an area is the same for all runs."""
    header = next(iter(runs.values()))[0].header
    objective = CampaignObjective.from_spec(parse_spec(header["spec"]))
    values = {arm: [[_values(row) for row in run.rows] for run in found] for arm, found in runs.items()}
    reference = objective.reference([v for found in values.values() for run in found for v in run])
    curves: dict[str, list[NDArray[np.float64]]] = {}
    for arm, found in values.items():
        levels = [
            [objective.progress(_growing(run, n, objective), reference) for n in range(len(run))] for run in found
        ]
        curves[arm] = [best_so_far(each, length) for each in levels]
    return curves


def _growing(run: Sequence[Values], n: int, objective: CampaignObjective) -> Sequence[Values]:
    """What the level after call n + 1 depends on: with one goal that call alone."""
    return run[n : n + 1] if len(objective.goals) == 1 else run[: n + 1]


def _values(row: Mapping[str, Any]) -> Values:
    answer = row["answer"]
    return None if answer.get("failure") else answer.get("values")
