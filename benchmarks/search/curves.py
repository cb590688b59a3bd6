"""The figure of a task: a panel per measure, a line per arm with its 95 % band over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.search.metrics import curve_bands

OURS = "latentore"
POINTS = 200  # of a line; more would not be seen
COLOURS = {OURS: "black", "random": "0.6", "random draws, expected": "0.6"}


@dataclass(frozen=True)
class Panel:
    """Arm -> curves `[s, n]` by call, higher is better, NaN where there is nothing yet; `distances` are below zero."""

    axis: str
    curves: Mapping[str, NDArray[np.float64]]
    distances: bool = False


def write_curves(file: Path, title: str, panels: Sequence[Panel], source: str) -> Path:
    """An SVG that names its `source`. Returns the file."""
    order = _best_first(panels[0].curves)
    others = sorted(set(order) - set(COLOURS))
    colours = COLOURS | {arm: colormaps["tab10"](i % 10) for i, arm in enumerate(others)}
    # text stays text, and the same curves give the same file
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "latentore"}):
        across = min(len(panels), 2)
        down = -(-len(panels) // across)
        figure = Figure(figsize=(3.0 + 4.0 * across, 0.8 + 3.4 * down), layout="constrained")
        figure.suptitle(title)
        for axes, panel in zip(figure.subplots(down, across, squeeze=False).flat, panels, strict=False):
            for arm in order:
                _line(axes, arm, panel.curves[arm] * (-1 if panel.distances else 1), colours[arm])
            axes.set(xlabel="oracle calls", ylabel=panel.axis, yscale="log" if panel.distances else "linear")
            axes.grid(alpha=0.3)
        figure.legend(
            *axes.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=across + 2,
            frameon=False,
            fontsize="small",
        )
        figure.savefig(file, format="svg", metadata={"Source": source, "Date": None})
    return file


def _best_first(curves: Mapping[str, NDArray[np.float64]]) -> list[str]:
    """By the mean of the median, which is the lowest of all where there is none yet."""
    medians = {arm: curve_bands(found)[0] for arm, found in curves.items()}
    lowest = np.nanmin(np.stack(list(medians.values())))
    return sorted(medians, key=lambda arm: -float(np.nan_to_num(medians[arm], nan=lowest).mean()))


def _line(axes: Axes, arm: str, curves: NDArray[np.float64], colour: Any) -> None:
    n = curves.shape[1]
    calls = np.unique(np.linspace(1, n, min(n, POINTS)).round().astype(int))
    middle, low, high = curve_bands(curves[:, calls - 1])
    label = f"{arm} ({len(curves)} seeds)" if len(curves) > 1 else arm
    axes.plot(calls, middle, color=colour, label=label, linewidth=2.4 if arm == OURS else 1.3, zorder=3 - (arm != OURS))
    if len(curves) > 1:
        axes.fill_between(calls, low, high, color=colour, alpha=0.12, linewidth=0)
