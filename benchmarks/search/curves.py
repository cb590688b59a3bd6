"""The figure of a task: a panel per measure, a line per arm with its 95 % band over seeds; a page without a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.colors import qualitative
from plotly.subplots import make_subplots

from benchmarks.search.metrics import curve_bands

COLOURS = qualitative.Dark24


def write_curves(file: Path, title: str, panels: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> Path:
    """Panel -> arm -> curves `[s, n]`, by call. Returns the file."""
    figure = make_subplots(
        rows=len(panels), cols=1, subplot_titles=list(panels), vertical_spacing=0.3 / len(panels) / 2
    )
    arms = list(dict.fromkeys(arm for panel in panels.values() for arm in panel))
    for row, panel in enumerate(panels.values(), start=1):
        for arm, curves in panel.items():
            colour = "black" if arm.startswith("random draws") else COLOURS[arms.index(arm) % len(COLOURS)]
            calls = np.arange(1, curves.shape[1] + 1)
            middle, low, high = curve_bands(curves)
            if len(curves) > 1:
                _band(figure, calls, low, high, colour, arm, row)
            line = go.Scatter(x=calls, y=middle, name=arm, line={"color": colour}, legendgroup=arm, showlegend=row == 1)
            figure.add_trace(line, row=row, col=1)
        figure.update_xaxes(title_text="oracle calls", row=row, col=1)
    figure.update_layout(title=title, height=420 * len(panels), template="plotly_white")
    figure.write_html(file, include_plotlyjs=True, full_html=True)
    return file


def _band(
    figure: go.Figure,
    calls: NDArray[np.int64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    colour: str,
    arm: str,
    row: int,
) -> None:
    there = np.isfinite(low) & np.isfinite(high)
    around = go.Scatter(
        x=np.concatenate([calls[there], calls[there][::-1]]),
        y=np.concatenate([high[there], low[there][::-1]]),
        fill="toself",
        fillcolor=colour,
        opacity=0.15,
        line={"width": 0},
        legendgroup=arm,
        showlegend=False,
        hoverinfo="skip",
    )
    figure.add_trace(around, row=row, col=1)
