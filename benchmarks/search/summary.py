"""One table and one figure of everything that was run on a task."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search.curves import OURS, write_curves
from benchmarks.search.hit_table import hit_table
from benchmarks.search.metrics import calls_to
from benchmarks.search.panels import panels_of
from benchmarks.search.progress import progress_curves
from benchmarks.search.runs import Run, read_run, rows_digest
from benchmarks.search.written import band, calls_band, plainly
from campaigns.errors import UserError

SHOWN = 5e-4  # half of the last digit that a table shows of a value near 1


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
        parts += [hit_table(by_arm, set_name, figures) for set_name in figures["hits"]]
    else:
        parts.append(_progress_table(by_arm, figures.get("optimum")))
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


def _progress_table(by_arm: Mapping[str, Sequence[Run]], optimum: float | None) -> str:
    """Best feasible so far (with two goals the dominated area) at quarters of the budget, and calls to the optimum
    where it is known."""
    budget = max(len(run.rows) for runs in by_arm.values() for run in runs)
    places = [math.ceil(budget * share) for share in (0.25, 0.5, 0.75, 1.0)]
    curves = progress_curves(by_arm, budget)
    known = [] if optimum is None else [f"calls to {plainly(optimum)}"]
    lines = [
        "| arm | seeds | " + " | ".join([*(f"after {n}" for n in places), *known]) + " |",
        "|---" * (2 + len(places) + len(known)) + "|",
    ]
    for arm, found in curves.items():
        cells = [band([-math.inf if np.isnan(c[n - 1]) else float(c[n - 1]) for c in found], plainly) for n in places]
        cells += (
            []
            if optimum is None
            else [calls_band([calls_to(np.insert(c, 0, -np.inf), optimum - SHOWN) for c in found])]
        )
        lines.append(f"| {arm} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join(["### Best feasible so far, as utility (higher is better)", "", *lines])


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
