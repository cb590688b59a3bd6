"""What a session knows of its campaign while it runs: values, the best, failures by code, the pace."""

from __future__ import annotations

import time
from collections import Counter

from campaigns.records import Candidate, StageOutcome, final_crystal, first_failure, last_values
from optimizer.objective import CampaignObjective, Values


class Tally:
    """Counts as outcomes come in. `calls` of the budget, `spent` of them when the session began."""

    def __init__(self, objective: CampaignObjective, calls: int, spent: int) -> None:
        self.objective, self.calls = objective, calls
        self.formulas: list[str] = []
        self.values: list[Values] = []
        self.failures: Counter[str] = Counter()
        self.spent, self.first = spent, spent
        self.started = time.monotonic()

    def add(self, candidate: Candidate, stages: tuple[StageOutcome, ...]) -> None:
        """One evaluated candidate, of this session or an earlier one."""
        failed = first_failure(stages)
        self.formulas.append(final_crystal(stages, candidate.crystal).composition.reduced_formula)
        self.values.append(None if failed else last_values(stages))
        if failed:
            self.failures[failed.code.value] += 1

    def begin(self) -> None:
        """The first candidate is handed out: what came before, loading weights, says nothing of the pace."""
        if self.spent == self.first:
            self.started = time.monotonic()

    def best(self) -> tuple[str, dict[str, float]] | None:
        """Formula and values of the best feasible candidate so far."""
        index = self.objective.best(self.values)
        return None if index is None else (self.formulas[index], dict(self.values[index] or {}))

    def seconds_left(self) -> float | None:
        """At the pace of this session; None before anything was done in it."""
        done = self.spent - self.first
        if done == 0:
            return None
        return (time.monotonic() - self.started) / done * max(self.calls - self.spent, 0)
