"""How figures of several runs are written in a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from benchmarks.search.metrics import bootstrap_band, median_of_censored


def band(values: Sequence[float], written: Callable[[float], str]) -> str:
    """Median, and its 95 % bootstrap band over seeds."""
    middle = median_of_censored(values)
    if len(values) < 2:
        return written(middle)
    low, high = bootstrap_band(values)
    return f"{written(middle)} ({written(low)} to {written(high)})"


def whole(value: float) -> str:
    """A number of calls; inf is a run that ended before."""
    return "censored" if math.isinf(value) else f"{value:.0f}"


def calls_band(calls: Sequence[float]) -> str:
    """Median and band of numbers of calls; where most runs ended before, how many did."""
    if math.isinf(median_of_censored(calls)):
        return f"censored in {sum(map(math.isinf, calls))} of {len(calls)}"
    return band(calls, whole)


def plainly(value: float) -> str:
    """Three digits; inf is a run that has no such value."""
    return "none" if math.isinf(value) else f"{float(f'{value:.3g}'):.10g}"
