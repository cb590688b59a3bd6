"""What is said of runs. Pure functions of numbers; a run that ended before it reached a level is censored, not
dropped.

Enhancement and acceleration factors after Q. Liang et al., "Benchmarking the performance of Bayesian optimization
across multiple experimental materials science domains", npj Comput. Mater. 7, 188 (2021): EF(i) is the share of the
hits found in i calls over the share that random draws find, AF(a) the calls that random draws need for a share a over
those of the method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
RESAMPLES = 2000


def hits_by_call(names: Sequence[str | None], hits: Sequence[str]) -> NDArray[np.int64]:
    """How many of `hits` are among the first i calls, `[n + 1]`, from i = 0."""
    wanted, found = set(hits), [0]
    for name in names:
        found.append(found[-1] + (name in wanted))
        wanted.discard(name or "")
    return np.array(found)


def last_of(names: Sequence[str | None], hits: Sequence[str]) -> str | None:
    """The hit that was found last, or the only one that was not; None where more are missing."""
    missing = [name for name in hits if name not in set(names)]
    ordered = [name for name in dict.fromkeys(names) if name in set(hits)]
    return None if len(missing) > 1 else [*ordered, *missing][-1]


def level(share: float, hits: int) -> int:
    """How many hits a share of them is, at least one."""
    return max(1, math.ceil(share * hits - 1e-9))


def calls_to(found: NDArray[np.int64] | NDArray[np.float64], k: float) -> float:
    """Calls to the k-th hit, or to a level k of what only grows; inf where the run ended before it.

    `found[n]` is what there is after n calls.
    """
    reached = np.flatnonzero(found >= k)
    return float(reached[0]) if len(reached) else math.inf


def random_calls_to(k: int, hits: int, pool: int) -> float:
    """Expected calls to the k-th of `hits` in a pool drawn without replacement: k (N + 1) / (K + 1)."""
    return k * (pool + 1) / (hits + 1)


def random_hits(calls: int, hits: int, pool: int) -> float:
    """Expected hits among that many draws without replacement."""
    return hits * min(calls, pool) / pool


def acceleration(calls: float, k: int, hits: int, pool: int) -> float:
    """AF at the k-th hit; 0 for a censored run: an upper bound is not claimed."""
    return 0.0 if math.isinf(calls) else random_calls_to(k, hits, pool) / calls


def enhancement(found: NDArray[np.int64], calls: int, hits: int, pool: int, *, ended: bool) -> float:
    """EF after that many calls. A run that `ended` before, as nothing was left to find, keeps what it had found; one
    that was not run so far has none, NaN.
    """
    if calls >= len(found) and not ended:
        return math.nan
    return float(found[min(calls, len(found) - 1)]) / random_hits(calls, hits, pool)


def median_of_censored(values: Sequence[float]) -> float:
    """The median with inf for what was censored: inf where half or more are."""
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return high if math.isinf(high) else (low + high) / 2


def bootstrap_band(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the median over seeds; ends may be inf."""
    rng = np.random.default_rng(seed)
    drawn = np.sort(np.asarray(values, dtype=float)[rng.integers(len(values), size=(RESAMPLES, len(values)))], axis=1)
    n = len(values)
    high = drawn[:, n // 2]
    with np.errstate(invalid="ignore"):
        medians = np.where(np.isinf(high), high, (drawn[:, (n - 1) // 2] + high) / 2)
    ordered = np.sort(medians)
    return float(ordered[int(0.025 * RESAMPLES)]), float(ordered[int(0.975 * RESAMPLES) - 1])


def best_so_far(levels: Sequence[float | None], length: int) -> Numbers:
    """The highest so far after each call, `[length]`; NaN before the first, and the last is held to the end."""
    found, best = np.full(length, np.nan), np.nan
    for i in range(length):
        if i < len(levels) and (value := levels[i]) is not None:
            best = value if np.isnan(best) else max(best, value)
        found[i] = best
    return found


def curve_bands(curves: NDArray[np.float64], seed: int = 0) -> tuple[Numbers, Numbers, Numbers]:
    """Of curves `[s, n]`: median over seeds and its 95 % band, each `[n]`. NaN counts as lower than everything."""
    rng = np.random.default_rng(seed)
    filled = np.where(np.isnan(curves), -np.inf, curves)
    picks = rng.integers(len(filled), size=(min(RESAMPLES, 400), len(filled)))
    with np.errstate(invalid="ignore"):
        medians = np.sort(np.stack([_median(filled[pick]) for pick in picks]), axis=0)
        middle = _median(filled)
    ends = medians[int(0.025 * len(medians))], medians[int(0.975 * len(medians)) - 1]
    return tuple(np.where(np.isfinite(c), c, np.nan) for c in (middle, *ends))  # type: ignore[return-value]


def _median(rows: NDArray[np.float64]) -> Numbers:
    ordered = np.sort(rows, axis=0)
    low, high = ordered[(len(rows) - 1) // 2], ordered[len(rows) // 2]
    return np.where(np.isneginf(low), low, (low + high) / 2)
