"""What the surrogate said of a round's candidates before they were measured, against what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist, fmean

from campaigns.records import Candidate, StageOutcome, last_values
from campaigns.store import CampaignStore

LEVELS = (0.5, 0.9)


def round_calibration(store: CampaignStore, round: int) -> dict[str, dict[str, float]]:
    """Property -> `n`, the shares of measurements inside the central 50 and 90 % intervals predicted for them, and the
    mean log density they were given (`log_score`, nats in the property's own unit). Empty where nothing was predicted.
    """
    candidates = store.candidates(round)
    outcomes = store.outcomes([candidate.id for candidate in candidates])
    return calibration((candidate, outcomes.get(candidate.id, ())) for candidate in candidates)


def calibration(found: Iterable[tuple[Candidate, Sequence[StageOutcome]]]) -> dict[str, dict[str, float]]:
    """The same of these candidates."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for candidate, stages in found:
        measured = last_values(stages)
        for name, (mean, sd) in candidate.predicted.items():
            if name in measured and sd > 0:
                pairs.setdefault(name, []).append(((measured[name] - mean) / sd, sd))
    return {name: _judged(found) for name, found in sorted(pairs.items())}


def _judged(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Of deviations in standard deviations, and those."""
    halves = {level: NormalDist().inv_cdf(0.5 + level / 2) for level in LEVELS}
    coverage = {f"coverage_{level:.0%}"[:-1]: fmean(abs(z) <= half for z, _ in pairs) for level, half in halves.items()}
    scores = [-0.5 * (z * z + math.log(2 * math.pi)) - math.log(sd) for z, sd in pairs]
    return {"n": len(pairs), **coverage, "log_score": fmean(scores)}
