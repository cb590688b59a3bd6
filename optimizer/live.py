"""What a person sees while a campaign runs: round, budget, best so far, failures by code, time left."""

from __future__ import annotations

import sys
import time
from collections import Counter
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from campaigns.records import Candidate, StageOutcome, final_crystal, first_failure, kept_out, last_values
from optimizer.objective import CampaignObjective, Values


class Live:
    """A progress bar on a terminal, plain lines elsewhere, nothing when quiet. Use as a context manager."""

    def __init__(self, objective: CampaignObjective, calls: int, spent: int, *, quiet: bool) -> None:
        self.objective, self.calls, self.quiet = objective, calls, quiet
        self.console = Console(stderr=False, quiet=quiet, highlight=False, markup=False)
        self.terminal = sys.stdout.isatty() and not quiet
        self.values: list[tuple[str, Values]] = []
        self.failures: Counter[str] = Counter()
        self.spent, self.first, self.started = spent, spent, time.monotonic()
        self.round = 0
        self.step_began = self.started
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("calls  {task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self.console,
            disable=not self.terminal,
        )
        self.task: TaskID = self.progress.add_task("", total=calls, completed=spent, note="", left="")

    def __enter__(self) -> Live:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def phase(self, round: int, text: str) -> None:
        """What the campaign is doing now."""
        self.round = round
        self.progress.update(self.task, description=f"round {round}: {text}")
        if not self.terminal:
            self._line(f"round {round}: {text}")

    def step(self, description: str, done: int, total: int) -> None:
        """How far something long inside a phase has come."""
        if not self.terminal:
            return
        now = time.monotonic()
        if done == 0:
            self.step_began = now
        left = f", {_left((now - self.step_began) / done * (total - done))}" if done else ""
        self.progress.update(self.task, description=f"round {self.round}: {description} {done}/{total}{left}")

    def known(self, candidate: Candidate, stages: tuple[StageOutcome, ...]) -> str:
        """A candidate measured before this process started, or as it starts; returns its formula.

        Only those that no other beats are kept: the best is among them, and a campaign may have 10,000 candidates.
        """
        failed = first_failure(stages)
        formula = final_crystal(stages, candidate.crystal).composition.reduced_formula
        if failed:
            self.failures[failed.code.value] += 1
            return formula
        leading = [*self.values, (formula, last_values(stages))]
        self.values = [leading[i] for i in self.objective.front([values for _, values in leading])]
        return formula

    def outcome(self, candidate: Candidate, stages: tuple[StageOutcome, ...], spent: int) -> None:
        """One candidate is done; `spent` calls so far."""
        self.spent = spent
        formula, best = self.known(candidate, stages), self.best()
        self.progress.update(self.task, completed=spent, note=best, left=self.left())
        if not self.terminal:
            said = [self._said(stages), best, self.left()]
            self._line(f"  {spent}/{self.calls}  {candidate.id} {formula}: {'; '.join(filter(None, said))}")

    def _line(self, text: str) -> None:
        """One line however long: what is no terminal has no width."""
        self.console.print(text, soft_wrap=True)

    def _said(self, stages: tuple[StageOutcome, ...]) -> str:
        failed = first_failure(stages)
        if failed:
            return f"failed, {failed.code.value}"
        values = last_values(stages)
        said = [f"{name} {values[name]:.4g}" for name in self.objective.properties if name in values]
        stopped = kept_out(stages)
        return ", ".join(said + ([stopped.code.value] if stopped else []))

    def best(self) -> str:
        """The best feasible so far, and failures by code."""
        values = [v for _, v in self.values]
        index = self.objective.best(values)
        if index is None:
            text = "nothing feasible yet"
        else:
            best = values[index] or {}
            text = f"best {self.values[index][0]} " + ", ".join(f"{n} {best[n]:.4g}" for n, _ in self.objective.goals)
        failures = ", ".join(f"{code} {n}" for code, n in self.failures.most_common(3))
        return f"{text}{'; failed: ' + failures if failures else ''}"

    def left(self) -> str:
        done = self.spent - self.first
        if done == 0:
            return ""
        seconds = (time.monotonic() - self.started) / done * max(self.calls - self.spent, 0)
        return _left(seconds)


def _left(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"
