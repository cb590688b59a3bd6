"""What is drawn of the runs of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.search import metrics
from benchmarks.search.curves import Panel
from benchmarks.search.progress import progress_curves
from benchmarks.search.runs import Run
from campaigns.spec import parse_spec
from optimizer.objective import CampaignObjective


def panels_of(by_arm: Mapping[str, Sequence[Run]]) -> list[Panel]:
    """On a pool one for each set of hits, elsewhere how far the runs have come."""
    header = next(iter(by_arm.values()))[0].header
    longest = max(len(run.rows) for runs in by_arm.values() for run in runs)
    if "hits" in header["figures"]:
        pool = int(header["figures"]["pool"])
        return [_hits(by_arm, name, hits, pool, longest) for name, hits in header["figures"]["hits"].items()]
    goals = CampaignObjective.from_spec(parse_spec(header["spec"])).goals
    curves = {arm: np.stack(found) for arm, found in progress_curves(by_arm, longest).items()}
    if len(goals) > 1:
        return [Panel(f"dominated area\n{', '.join(name for name, _ in goals)}", curves)]
    (name, goal), *_ = goals
    if goal.target is not None:
        return [Panel(f"best feasible {name}, from {goal.target:g}", curves, distances=True)]
    return [Panel(f"best feasible {name}", curves)]


def _hits(by_arm: Mapping[str, Sequence[Run]], set_name: str, hits: Sequence[str], pool: int, longest: int) -> Panel:
    """A run that ended, as nothing was left to find, keeps what it had found."""
    curves = {}
    for arm, found in by_arm.items():
        rows = [metrics.hits_by_call(run.names, hits)[1:].astype(float) for run in found]
        held = [row[-1] if run.ended else np.nan for row, run in zip(rows, found, strict=True)]
        padded = [np.pad(r, (0, longest - len(r)), constant_values=h) for r, h in zip(rows, held, strict=True)]
        curves[arm] = np.stack(padded)
    expected = [metrics.random_hits(n, len(hits), pool) for n in range(1, longest + 1)]
    return Panel(f"{set_name} found", curves | {"random draws, expected": np.array([expected])})
