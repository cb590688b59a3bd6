"""What a person sees while a campaign runs: round, why it looks where it does, budget, best so far, failures by code,
time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from campaigns.records import Candidate, StageOutcome, first_failure, kept_out, last_values
from optimizer.durations import duration
from optimizer.narration import why
from optimizer.objective import CampaignObjective
from optimizer.tally import Tally


class _ThreeLines(Progress):
    """What it does now, the bar, the best so far with failures: each readable on 80 columns."""

    def get_renderables(self) -> Iterator[RenderableType]:
        for task in self.tasks:
            yield Text(task.description, no_wrap=True, overflow="ellipsis")
            yield self.make_tasks_table([task])
            yield Text(task.fields["note"], no_wrap=True, overflow="ellipsis")


class Live:
    """A progress bar on a terminal, plain lines elsewhere, nothing when quiet. Use as a context manager."""

    def __init__(self, objective: CampaignObjective, calls: int, spent: int, *, quiet: bool) -> None:
        self.tally, self.quiet = Tally(objective, calls, spent), quiet
        self.console = Console(stderr=False, quiet=quiet, highlight=False, markup=False)
        self.terminal = sys.stdout.isatty() and not quiet
        self.round = 0
        self.step_began = time.monotonic()
        self.progress = _ThreeLines(
            MofNCompleteColumn(),
            TextColumn("calls"),
            BarColumn(),
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

    def proposed(self, figures: Mapping[str, Any], feasible: tuple[int, int]) -> None:
        """Why the round looks where it does: what `proposal_figures` and `feasibility` said."""
        if words := why(figures, feasible):
            self.console.print(f"round {figures['round']}: {words}", soft_wrap=True)

    def evaluating(self, round: int, count: int) -> None:
        """Candidates go to the oracles."""
        self.tally.begin()
        self.phase(round, f"evaluating {count} candidates")

    def step(self, description: str, done: int, total: int) -> None:
        """How far something long inside a phase has come."""
        if not self.terminal:
            return
        now = time.monotonic()
        if done == 0:
            self.step_began = now
        left = f", about {duration(round((now - self.step_began) / done * (total - done)))} left" if done else ""
        self.progress.update(self.task, description=f"round {self.round}: {description} {done}/{total}{left}")

    def known(self, candidate: Candidate, stages: tuple[StageOutcome, ...]) -> None:
        """A candidate measured before this process started, or as it starts."""
        self.tally.add(candidate, stages)

    def outcome(self, candidate: Candidate, stages: tuple[StageOutcome, ...], spent: int) -> None:
        """One candidate is done; `spent` calls so far."""
        self.tally.spent = spent
        formula = self.tally.add(candidate, stages)
        self.progress.update(self.task, completed=spent, note=self.best(), left=self.left())
        if not self.terminal:
            said = [self._said(stages), self.best(), self.left()]
            self._line(f"  {spent}/{self.tally.calls}  {candidate.id} {formula}: {'; '.join(filter(None, said))}")

    def _line(self, text: str) -> None:
        """One line however long: what is no terminal has no width."""
        self.console.print(text, soft_wrap=True)

    def _said(self, stages: tuple[StageOutcome, ...]) -> str:
        failed = first_failure(stages)
        if failed:
            return f"failed, {failed.code.value}"
        values = last_values(stages)
        said = [f"{name} {values[name]:.4g}" for name in self.tally.objective.properties if name in values]
        stopped = kept_out(stages)
        return ", ".join(said + ([stopped.code.value] if stopped else []))

    def best(self) -> str:
        """The best feasible so far, and failures by code."""
        if (best := self.tally.best()) is None:
            text = "nothing feasible yet"
        else:
            formula, values = best
            goals = ", ".join(f"{name} {values[name]:.4g}" for name, _ in self.tally.objective.goals)
            text = f"best {formula} {goals}"
        failures = ", ".join(f"{code} {n}" for code, n in self.tally.failures.most_common(3))
        return f"{text}{'; failed: ' + failures if failures else ''}"

    def left(self) -> str:
        seconds = self.tally.seconds_left()
        return "" if seconds is None else f"about {duration(round(seconds))} left"
