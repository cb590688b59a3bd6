"""Which arm makes how much of the next pool: by what the arm's candidates have earned so far.

An arm's rate is the share of its candidates that are feasible (while nothing is, any) and among the best quarter of
everything evaluated, drawn towards a common guess while few were tried (the posterior mean of a Bernoulli rate). Shares
are in proportion to rates times first shares, and none falls below a floor: an arm that earns nothing now may earn
again, and its share is the only way to find out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from optimizer.objective import CampaignObjective, Values

ASCENT = "ascent"
FIRST_SHARES: Mapping[str, float] = MappingProxyType(
    {"trust_region": 0.12, "crossover": 0.08, "substitution": 0.15, "prior": 0.15, ASCENT: 0.5}
)
BEST_SHARE = 0.25
GUESS_WEIGHT = 8  # candidates that the common guess counts for
FLOOR = 0.1


def arm_shares(arms: Sequence[str], values: Sequence[Values], objective: CampaignObjective) -> dict[str, float]:
    """Arm -> its share of the pool, summing to 1; from the arm and the values of every evaluated candidate.

    Candidates of other arms (the start's) count among the evaluated, and earn nothing.
    """
    best = objective.ranking(values)[: math.ceil(BEST_SHARE * len(values))]
    tried = Counter(arm for arm in arms if arm in FIRST_SHARES)
    feasible = [i for i in best if objective.feasible(values[i])]
    earned = Counter(arms[i] for i in feasible or best)
    rates = {
        arm: (earned[arm] + GUESS_WEIGHT * BEST_SHARE) / (tried[arm] + GUESS_WEIGHT) * first
        for arm, first in FIRST_SHARES.items()
    }
    total = sum(rates.values())
    spread = 1 - FLOOR * len(rates)
    return {arm: FLOOR + spread * rate / total for arm, rate in rates.items()}
