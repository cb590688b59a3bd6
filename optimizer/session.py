"""What every schedule shares: one session of driving a campaign, its clock and what is left of its budget."""

from __future__ import annotations

import time
from threading import Event

from campaigns.errors import CampaignInterrupted, UserError
from campaigns.store import CampaignStore
from optimizer.build import Parts
from optimizer.claims import Claims
from optimizer.evaluation import Evaluator
from optimizer.freed_memory import return_freed_memory
from optimizer.gates import exhausted_stage
from optimizer.json_lines import JsonLines
from optimizer.live import Live
from optimizer.starting import start_phase
from optimizer.status import CLOCK, STAGE_SPENT, failures_by_stage, failures_in_words, hours_spent

STARVED = "starved"  # the event of a session that gave up
IDLE_ROUNDS = 3  # rounds in a row without a single call before a campaign gives up
GO_ON = "everything measured is kept. Run the same command again to go on."


class Session:
    """Everything it must remember beyond its end is in the store."""

    def __init__(
        self, parts: Parts, store: CampaignStore, evaluator: Evaluator, live: Live | JsonLines, stop: Event
    ) -> None:
        self.parts, self.store, self.evaluator, self.live, self.stop = parts, store, evaluator, live, stop
        self.versions = "; ".join(f"{name} {version}" for name, version in parts.provenance.items())
        self.claims = Claims(store, stop) if store.shared else None
        self.since, self.hours_before = time.monotonic(), hours_spent(store)

    def start(self) -> None:
        """Round 0 is proposed, and what was measured before this session, or came with its values, is shown."""
        start_phase(self.parts, self.store, lambda text: self.live.phase(0, text))
        for candidate, stages in self.store.evaluated():
            self.live.known(candidate, stages)

    def begin(self, candidate_id: str) -> None:
        """It is handed to a worker. What was claimed is leased already."""
        if self.claims is None:
            self.store.lease(candidate_id)

    def calls_left(self) -> int:
        return self.parts.spec.budget.oracle_calls - self.store.spent().calls

    def exhausted(self) -> str | None:
        return exhausted_stage(self.parts.spec, self.parts.cascade, self.store, self.parts.objective.properties)

    def say(self, kind: str, round: int, message: str) -> None:
        self.store.event(kind, message)
        self.live.phase(round, message)

    def out_of_time(self) -> bool:
        limit = self.parts.spec.budget.hours
        return limit is not None and self.hours_before + self._hours() > limit

    def tick(self) -> None:
        """After a round: note the hours since the last time, so that a kill forgets few."""
        hours, self.since = self._hours(), time.monotonic()
        self.hours_before += hours
        self.store.event(CLOCK, "time spent driving", hours=hours)
        return_freed_memory()

    def _hours(self) -> float:
        return (time.monotonic() - self.since) / 3600

    def interrupted(self, round: int) -> CampaignInterrupted:
        return CampaignInterrupted(f"interrupted in round {round}; {GO_ON}")

    # why a campaign ends before its calls are spent

    def say_out_of_time(self, round: int) -> None:
        self.say("out_of_time", round, "the hours of the budget are spent")

    def say_exhausted(self, round: int) -> None:
        """Where the calls of a stage that the objective needs are spent."""
        if stage := self.exhausted():
            self.say(STAGE_SPENT, round, f"the calls of {stage} are spent, and the objective needs it")

    def say_starved(self, round: int, what: str) -> None:
        message = f"gave up: {what} in a row brought no call of {self.store.dearest_stage}"
        nothing = "" if self.store.candidates(round) else "nothing was left to propose"
        why = "; ".join(filter(None, (failures_in_words(failures_by_stage(self.store)), nothing)))
        self.say(STARVED, round, f"{message}. {why}")
        if not self.store.spent().stage_counts:
            raise UserError(f"{message}: {why}.", "Loosen what refused most, under `space`.")
