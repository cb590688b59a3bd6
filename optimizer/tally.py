"""What a session knows of its campaign while it runs: values, the best, failures by code, the pace."""

from __future__ import annotations

import time
from collections import Counter

from campaigns.crystals import reduced_formula
from campaigns.records import Candidate, StageOutcome, final_crystal, first_failure, last_values
from optimizer.objective import CampaignObjective, Values


class Tally:
    """Counts as outcomes come in. `calls` of the budget, `spent` of them when the session began."""

    def __init__(self, objective: CampaignObjective, calls: int, spent: int) -> None:
        self.objective, self.calls = objective, calls
        self.leading: list[tuple[str, Values]] = []  # formula and values of those that nothing beats so far
        self.failures: Counter[str] = Counter()
        self.feasible, self.complete = 0, 0  # within the bounds, and measured completely
        self.spent, self.first = spent, spent
        self.started = time.monotonic()

    def add(self, candidate: Candidate, stages: tuple[StageOutcome, ...]) -> str:
        """One evaluated candidate, of this session or an earlier one; its formula.

        Only those that no other beats are kept: the best is among them, and a campaign may have 10,000 candidates.
        """
        formula = reduced_formula(final_crystal(stages, candidate.crystal))
        if failed := first_failure(stages):
            self.failures[failed.code.value] += 1
            return formula
        values = last_values(stages)
        self.complete += self.objective.complete(values)
        self.feasible += self.objective.feasible(values)
        leading = [*self.leading, (formula, values)]
        self.leading = [leading[i] for i in self.objective.front([values for _, values in leading])]
        return formula

    def begin(self) -> None:
        """The first candidate is handed out: what came before, loading weights, says nothing of the pace."""
        if self.spent == self.first:
            self.started = time.monotonic()

    def best(self) -> tuple[str, dict[str, float]] | None:
        """Formula and values of the best feasible candidate so far."""
        index = self.objective.best([values for _, values in self.leading])
        if index is None:
            return None
        formula, values = self.leading[index]
        return formula, dict(values or {})

    def seconds_left(self) -> float | None:
        """At the pace of this session; None before anything was done in it."""
        done = self.spent - self.first
        if done == 0:
            return None
        return (time.monotonic() - self.started) / done * max(self.calls - self.spent, 0)
