"""What the surrogate said of a candidate before it was measured, beside what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from optimizer.report.snapshot import Snapshot, blocks

MOST_BLOCKS = 24
HALF_WIDTH = {level: NormalDist().inv_cdf(0.5 + level / 200) for level in (50, 90)}
"""Standard deviations to each side of the mean of a normal interval of that many percent."""


@dataclass(frozen=True)
class Forecast:
    """Mean and standard deviation at proposal, and the value measured, in the property's unit."""

    formula: str
    round: int
    mean: float
    sd: float
    measured: float

    @property
    def deviations(self) -> float:
        """How many standard deviations the measured value lies above the mean."""
        return (self.measured - self.mean) / self.sd

    def inside(self, level: int) -> bool:
        return abs(self.deviations) <= HALF_WIDTH[level]


@dataclass(frozen=True)
class Calibration:
    """Of rounds `first` to `last`: share of `n` values inside their intervals, and the mean log score in nats (higher
    is better; only comparable for the same property).
    """

    first: int
    last: int
    n: int
    coverage_50: float
    coverage_90: float
    log_score: float


def forecasts(snapshot: Snapshot) -> dict[str, tuple[Forecast, ...]]:
    """Property -> every candidate that has both, in the order of proposal. What failed later still gave its values."""
    found: dict[str, list[Forecast]] = {name: [] for name in snapshot.objective.properties}
    for each in snapshot.evaluated:
        for name, (mean, sd) in each.candidate.predicted.items():
            value = each.measured.get(name)
            if name in found and value is not None and sd > 0 and math.isfinite(mean):
                found[name].append(Forecast(each.formula, each.candidate.round, mean, sd, value))
    return {name: tuple(each) for name, each in found.items() if each}


def calibrations(snapshot: Snapshot, made: Mapping[str, Sequence[Forecast]]) -> dict[str, tuple[Calibration, ...]]:
    """Property -> calibration round by round, or in blocks of rounds where they are many.

    Of what is measured now: a round's own figures are of before a value of it was replaced.
    """
    found = {}
    for name, all_made in made.items():
        by_round: dict[int, list[Forecast]] = {}
        for each in all_made:
            by_round.setdefault(each.round, []).append(each)
        rounds = [_calibration(n, by_round[n]) for n in sorted(by_round)]
        grouped = blocks(list(by_round), MOST_BLOCKS)
        found[name] = tuple(
            _together(members)
            for first, last in grouped
            if (members := [each for each in rounds if first <= each.first <= last])
        )
    return found


def _calibration(round: int, made: Sequence[Forecast]) -> Calibration:
    scores = [-0.5 * (each.deviations**2 + math.log(2 * math.pi)) - math.log(each.sd) for each in made]
    covered = {level: sum(each.inside(level) for each in made) / len(made) for level in HALF_WIDTH}
    return Calibration(round, round, len(made), covered[50], covered[90], sum(scores) / len(scores))


def _together(members: Sequence[Calibration]) -> Calibration:
    n = sum(each.n for each in members)
    mean = {
        key: sum(each.n * getattr(each, key) for each in members) / n
        for key in ("coverage_50", "coverage_90", "log_score")
    }
    return Calibration(members[0].first, members[-1].last, n, **mean)
