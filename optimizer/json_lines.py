"""What a program reads while a campaign runs: one JSON object per line, `optimize run --json-lines`.

Every object has `event` and `at` (UTC, ISO 8601). Keys are added in later versions, none changes its meaning:

started     campaign, run_folder, pid, host, calls, of (the budget), version
phase       round, text
proposed    what `narration.proposal_figures` returns, feasible, measured, why
outcome     round, id, formula, arm, state (measured, failed, kept_out), code and message of the latter two, values,
            flags, seconds, calls, of, failures (code -> count), best (formula and values, or null), seconds_left
finished    state, calls, of, hours, failures, best, export (the folder of the list), ranked
interrupted as finished, with message
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from io import UnsupportedOperation
from types import TracebackType
from typing import Any, TextIO

from campaigns.records import Candidate, Measured, StageOutcome, first_failure, kept_out, last_values
from optimizer.narration import why
from optimizer.objective import CampaignObjective
from optimizer.tally import Tally


@contextmanager
def nothing_but_json() -> Iterator[TextIO]:
    """Standard output for these lines alone: what else is printed, in worker processes too, goes to standard error."""
    try:
        number = sys.stdout.fileno()
    except UnsupportedOperation:  # no file: a notebook, a test
        ours = sys.stdout
        with redirect_stdout(sys.stderr):
            yield ours
        return
    sys.stdout.flush()
    kept = os.dup(number)
    os.dup2(2, number)
    try:
        with os.fdopen(os.dup(kept), "w", encoding="utf-8") as out:
            yield out
    finally:
        sys.stdout.flush()
        os.dup2(kept, number)
        os.close(kept)


def emit(out: TextIO, event: str, **said: Any) -> None:
    """One line, at once."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    out.write(json.dumps({"event": event, "at": at, **said}, ensure_ascii=False, allow_nan=False) + "\n")
    out.flush()


class JsonLines:
    """Tells what `Live` shows. Use as a context manager."""

    def __init__(self, objective: CampaignObjective, calls: int, spent: int, out: TextIO) -> None:
        self.tally, self.out = Tally(objective, calls, spent), out

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.out.flush()

    def phase(self, round: int, text: str) -> None:
        emit(self.out, "phase", round=round, text=text)

    def proposed(self, figures: Mapping[str, Any], feasible: tuple[int, int]) -> None:
        said = {"feasible": feasible[0], "measured": feasible[1], "why": why(figures, feasible)}
        emit(self.out, "proposed", **figures, **said)

    def evaluating(self, round: int, count: int) -> None:
        self.tally.begin()
        self.phase(round, f"evaluating {count} candidates")

    def step(self, description: str, done: int, total: int) -> None:
        """Steps inside a phase are for eyes only."""

    def known(self, candidate: Candidate, stages: tuple[StageOutcome, ...]) -> None:
        self.tally.add(candidate, stages)

    def outcome(self, candidate: Candidate, stages: tuple[StageOutcome, ...], spent: int) -> None:
        self.tally.spent = spent
        formula = self.tally.add(candidate, stages)
        failed, stopped = first_failure(stages), kept_out(stages)
        reason = failed or stopped
        best, left = self.tally.best(), self.tally.seconds_left()
        emit(
            self.out,
            "outcome",
            round=candidate.round,
            id=candidate.id,
            formula=formula,
            arm=candidate.arm,
            state="failed" if failed else "kept_out" if stopped else "measured",
            code=reason.code.value if reason else None,
            message=reason.message if reason else None,
            values=last_values(stages),
            flags=list(
                dict.fromkeys(flag for s in stages if isinstance(s.outcome, Measured) for flag in s.outcome.flags)
            ),
            seconds=round(sum(stage.outcome.seconds for stage in stages), 3),
            calls=spent,
            of=self.tally.calls,
            failures=dict(self.tally.failures),
            best=None if best is None else {"formula": best[0], "values": best[1]},
            seconds_left=None if left is None else round(left, 1),
        )
