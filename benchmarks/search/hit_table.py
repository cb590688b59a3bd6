"""The table of a set of hits: calls to shares of it, and what of it comes last."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.search import metrics
from benchmarks.search.runs import Run
from benchmarks.search.written import band, calls_band, plainly, whole

SHARES = (0.25, 0.5, 0.8, 1.0)
AT_CALLS = (100, 200, 400)


def hit_table(by_arm: Mapping[str, Sequence[Run]], set_name: str, figures: Mapping[str, Any]) -> str:
    """Markdown of one set of hits, an arm a row; `figures` are those of a run's header."""
    hits, pool = figures["hits"][set_name], int(figures["pool"])
    counts = [metrics.level(share, len(hits)) for share in SHARES]
    lines = [
        f"### {set_name}: {len(hits)} of {pool}",
        "",
        "| arm | seeds | "
        + " | ".join(f"calls to {share:.0%} ({k}); AF" for share, k in zip(SHARES, counts, strict=True))
        + " | "
        + " | ".join(f"EF({n})" for n in AT_CALLS)
        + " | finished |",
        "|---" * (3 + len(SHARES) + len(AT_CALLS)) + "|",
        "| random draws, expected | | "
        + " | ".join(f"{metrics.random_calls_to(k, len(hits), pool):.0f}; 1" for k in counts)
        + " | "
        + " | ".join("1" for _ in AT_CALLS)
        + " | |",
    ]
    for arm, runs in by_arm.items():
        found = [metrics.hits_by_call(run.names, hits) for run in runs]
        cells = [_calls_cell([metrics.calls_to(f, k) for f in found], k, len(hits), pool) for k in counts]
        factors = [_factor_cell(runs, found, n, len(hits), pool) for n in AT_CALLS]
        complete = sum(int(f[-1]) == len(hits) for f in found)
        lines.append(f"| {arm} | {len(runs)} | {' | '.join([*cells, *factors])} | {complete} |")
    last = {arm: text for arm, runs in by_arm.items() if (text := _all_but_one(runs, hits))}
    return "\n".join([*lines, "", *(f"{arm}: {text}" for arm, text in last.items())]).rstrip()


def _all_but_one(runs: Sequence[Run], hits: Sequence[str]) -> str:
    """When all hits but one were found, and which was the one; empty where a run missed more than one."""
    kept_back = [metrics.last_of(run.names, hits) for run in runs]
    if len(hits) < 2 or None in kept_back:
        return ""
    calls = [metrics.calls_to(metrics.hits_by_call(run.names, hits), len(hits) - 1) for run in runs]
    named = ", ".join(f"{name} in {n}" for name, n in Counter(kept_back).most_common(3))
    return f"all but one after {band(calls, whole)}; found last or not at all: {named} of {len(runs)}."


def _factor_cell(runs: Sequence[Run], found: Sequence[Any], calls: int, hits: int, pool: int) -> str:
    pairs = zip(found, runs, strict=True)
    factors = [metrics.enhancement(f, calls, hits, pool, ended=run.ended) for f, run in pairs]
    return "not run" if any(map(math.isnan, factors)) else band(factors, plainly)


def _calls_cell(calls: Sequence[float], k: int, hits: int, pool: int) -> str:
    middle = metrics.median_of_censored(calls)
    faster = "" if math.isinf(middle) else f"; {metrics.acceleration(middle, k, hits, pool):.1f}"
    return calls_band(calls) + faster
