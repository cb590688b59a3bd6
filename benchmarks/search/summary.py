"""One table and one figure of everything that was run on a task."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search import metrics
from benchmarks.search.curves import OURS, write_curves
from benchmarks.search.panels import panels_of
from benchmarks.search.progress import progress_curves
from benchmarks.search.runs import Run, read_run, rows_digest
from campaigns.errors import UserError

SHARES = (0.25, 0.5, 0.8, 1.0)
AT_CALLS = (100, 200, 400)


def summarize(folder: Path, arms: Sequence[str] | None) -> str:
    """Markdown of every run in `folder`; writes `curves.svg` there, and `variants.svg` of arms that are changed by a
    `+`. Raises UserError where there is no run.
    """
    files = [*folder.glob("*.jsonl"), *folder.glob("*.jsonl.gz")]
    runs = [read_run(file) for file in sorted(files)]
    runs = [run for run in runs if run.rows and (arms is None or run.arm in arms)]
    if not runs:
        raise UserError(f"{folder}: holds no run{' of these arms' if arms else ''}.", "Begin one with `run`.")
    names = list(dict.fromkeys(arms or sorted({run.arm for run in runs})))
    by_arm = {name: [run for run in runs if run.arm == name] for name in names if any(r.arm == name for r in runs)}
    figures = runs[0].header["figures"]
    for run in runs:
        if _comparable(run.header["figures"]) != _comparable(figures):
            raise UserError(f"{folder}: {run.arm} was run with another generator or table.", "Summarise them apart.")
    parts = [_heading(folder, runs)]
    if "hits" in figures:
        parts += [_hit_table(by_arm, set_name, figures) for set_name in figures["hits"]]
    else:
        parts.append(_progress_table(by_arm))
    parts.append(_seconds(by_arm))
    return "\n\n".join([*parts, *_figures(folder, by_arm)])


def _comparable(figures: Mapping[str, Any]) -> dict[str, Any]:
    """What two runs must have in common. On a pool that is the generator's latents, not how it decodes them."""
    return {key: value for key, value in figures.items() if key != "generator" or "neighbours" not in figures}


def _heading(folder: Path, runs: Sequence[Run]) -> str:
    header = runs[0].header
    commands = sorted({run.header["command"] for run in runs})
    seeds = sorted({int(run.header["seed"]) for run in runs})
    plain = {k: v for k, v in header["figures"].items() if not isinstance(v, dict)}
    generators = {str(run.header["figures"]["generator"]) for run in runs if "generator" in plain}
    plain |= {"generator": "`, `".join(sorted(generators))} if generators else {}
    return "\n".join(
        [
            f"## {header['task']}",
            "",
            *(f"    {command}" for command in commands),
            f"    {' '.join(['python -m benchmarks', *sys.argv[1:]])}",
            "",
            f"Seeds {', '.join(map(str, seeds))}; budget {header['budget']} calls, the start among them; "
            + "; ".join(f"{key} `{value}`" for key, value in plain.items())
            + "; "
            + ", ".join(f"{k} {v}" for k, v in header["packages"].items())
            + ".",
        ]
    )


def _hit_table(by_arm: Mapping[str, Sequence[Run]], set_name: str, figures: Mapping[str, Any]) -> str:
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
    return "\n".join(lines)


def _factor_cell(runs: Sequence[Run], found: Sequence[Any], calls: int, hits: int, pool: int) -> str:
    pairs = zip(found, runs, strict=True)
    factors = [metrics.enhancement(f, calls, hits, pool, ended=run.ended) for f, run in pairs]
    return "not run" if any(map(math.isnan, factors)) else _band(factors, _plain)


def _calls_cell(calls: Sequence[float], k: int, hits: int, pool: int) -> str:
    middle = metrics.median_of_censored(calls)
    if math.isinf(middle):
        return f"censored in {sum(map(math.isinf, calls))} of {len(calls)}"
    return f"{_band(calls, _whole)}; {metrics.acceleration(middle, k, hits, pool):.1f}"


def _progress_table(by_arm: Mapping[str, Sequence[Run]]) -> str:
    """Best feasible so far (with two goals the dominated area) at quarters of the budget."""
    budget = max(len(run.rows) for runs in by_arm.values() for run in runs)
    places = [math.ceil(budget * share) for share in (0.25, 0.5, 0.75, 1.0)]
    curves = progress_curves(by_arm, budget)
    lines = [
        "| arm | seeds | " + " | ".join(f"after {n}" for n in places) + " |",
        "|---" * (2 + len(places)) + "|",
    ]
    for arm, found in curves.items():
        cells = [_band([-math.inf if np.isnan(c[n - 1]) else float(c[n - 1]) for c in found], _plain) for n in places]
        lines.append(f"| {arm} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join(["### Best feasible so far, as utility (higher is better)", "", *lines])


def _band(values: Sequence[float], written: Callable[[float], str]) -> str:
    """Median, and its 95 % bootstrap band over seeds."""
    middle = metrics.median_of_censored(values)
    if len(values) < 2:
        return written(middle)
    low, high = metrics.bootstrap_band(values)
    return f"{written(middle)} ({written(low)} to {written(high)})"


def _whole(value: float) -> str:
    return "censored" if math.isinf(value) else f"{value:.0f}"


def _plain(value: float) -> str:
    return "none" if math.isinf(value) else f"{float(f'{value:.3g}'):.10g}"


def _seconds(by_arm: Mapping[str, Sequence[Run]]) -> str:
    lines = ["### Proposing a batch, wall seconds", "", "| arm | median | longest | a run |", "|---|---|---|---|"]
    for arm, runs in by_arm.items():
        each = [s for run in runs for s in run.proposing] or [0.0]
        whole = float(np.median([sum(run.proposing) for run in runs]))
        lines.append(f"| {arm} | {np.median(each):.2f} | {max(each):.1f} | {whole:.0f} |")
    return "\n".join(lines)


def _figures(folder: Path, by_arm: Mapping[str, Sequence[Run]]) -> list[str]:
    """A line for each figure that was written."""
    plain = {arm: runs for arm, runs in by_arm.items() if "+" not in arm}
    variants = {arm: runs for arm, runs in by_arm.items() if "+" in arm or arm == OURS}
    wanted = {"curves": plain, "variants": variants if set(variants) - {OURS} else {}}
    return [
        f"{name.capitalize()}: {write_curves(folder / f'{name}.svg', folder.name, panels_of(arms), rows_digest(arms))}"
        for name, arms in wanted.items()
        if arms
    ]
