"""The campaign: rounds of propose and evaluate until the budget is spent. Resuming is running again."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, current_thread, main_thread
from types import FrameType

from campaigns.errors import CampaignInterrupted, UserError
from campaigns.records import first_failure, last_values
from campaigns.spec import CampaignSpec
from campaigns.store import LEDGER, CampaignStore
from optimizer.build import Parts, build
from optimizer.executors import Evaluator
from optimizer.live import Live
from optimizer.phases import phase_seed, propose_phase, start_phase

IDLE_ROUNDS = 3  # rounds in a row without a single call before a campaign gives up
CLOCK = "clock"


def run_campaign(
    spec: CampaignSpec, *, folder: Path, run_folder: Path, quiet: bool = False, take_over: bool = False
) -> Path:
    """Run `spec` in `run_folder`, or go on where it was left; returns the run folder.

    `folder` is the campaign file's. Raises UserError for what a person can mend, and CampaignInterrupted after
    Ctrl-C, when the candidates in hand are finished and recorded.
    """
    parts = build(spec, folder)
    if (run_folder / LEDGER).is_file():
        store = CampaignStore.open(run_folder)
    else:
        store = CampaignStore.create(
            run_folder, spec, provenance=parts.provenance, dearest_stage=parts.cascade.dearest
        )
    with store, store.lock(take_over=take_over):
        store.adopt(spec)
        _same_generator(store, parts)
        with _stop_on_signal() as stop, parts.evaluator() as evaluator:
            with Live(parts.objective, spec.budget.oracle_calls, store.spent().calls, quiet=quiet) as live:
                _recall(store, live)
                _Campaign(parts, store, evaluator, live, stop).run()
    return run_folder


def _same_generator(store: CampaignStore, parts: Parts) -> None:
    """Latents mean nothing under other weights: refuse to go on with them."""
    known = [record.version for record in store.generators()]
    if known and parts.generator.version not in known:
        raise UserError(
            f"{store.folder}: was started with the generator {known[0]}, and {parts.generator.version} is installed.",
            "Install the version that started it, or begin a new campaign with `start: {kind: ledger, path: ...}`.",
        )
    store.add_generator(parts.generator.version, None, {}, accepted=True)


def _recall(store: CampaignStore, live: Live) -> None:
    outcomes = store.outcomes()
    for candidate in store.candidates():
        if stages := outcomes.get(candidate.id):
            values = None if first_failure(stages) else last_values(stages)
            live.known(candidate.crystal.composition.reduced_formula, values)


@contextmanager
def _stop_on_signal() -> Iterator[Event]:
    """The first Ctrl-C or SIGTERM asks to stop after the candidates in hand; the second is an ordinary one."""
    stop = Event()
    if current_thread() is not main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, previous[number])  # a second one does what it always does

    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in previous:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Campaign:
    """One session of driving a campaign. Everything it must remember is in the store."""

    def __init__(
        self, parts: Parts, store: CampaignStore, evaluator: Evaluator, live: Live, stop: Event
    ) -> None:
        self.parts, self.store, self.evaluator, self.live, self.stop = parts, store, evaluator, live, stop
        self.started, self.out_of_time = time.monotonic(), False
        self.hours_before = sum(event.data["hours"] for event in store.events() if event.kind == CLOCK)

    def run(self) -> None:
        try:
            self._rounds()
        finally:
            self.store.event(CLOCK, "session ended", hours=(time.monotonic() - self.started) / 3600)

    def _rounds(self) -> None:
        self.live.phase(0, "start")
        start_phase(self.parts, self.store, lambda text: self.live.phase(0, text))
        self._evaluate(0)
        if self.out_of_time:
            self.store.event("out_of_time", "the hours of the budget are spent")
            return
        round, idle = 0, 0
        while (left := self._calls_left()) > 0 and idle < IDLE_ROUNDS:
            round += 1
            q = min(self.parts.spec.batch_size, left)
            propose_phase(self.parts, self.store, round, q, lambda text, at=round: self.live.phase(at, text))  # type: ignore[misc]
            self._evaluate(round)
            if self.out_of_time:
                self.store.event("out_of_time", "the hours of the budget are spent")
                return
            idle = 0 if self._brought_calls(round) else idle + 1
        if idle == IDLE_ROUNDS:
            message = f"{IDLE_ROUNDS} rounds in a row brought nothing to evaluate"
            self.store.event("starved", message)
            self.live.phase(
                round, f"{message}; the failures by code in `optimize status` say which screen took them"
            )

    def _brought_calls(self, round: int) -> bool:
        outcomes, dearest = self.store.outcomes(), self.store.dearest_stage
        return any(s.stage == dearest for c in self.store.candidates(round) for s in outcomes.get(c.id, ()))

    def _calls_left(self) -> int:
        return self.parts.spec.budget.oracle_calls - self.store.spent().calls

    def _evaluate(self, round: int) -> None:
        """Evaluate what the round proposed and has no outcome yet; each outcome is committed as it comes."""
        if self.store.phase_done(round, "evaluate"):
            return
        candidates = {c.id: c for c in self.store.candidates(round)}
        waiting = [c for c in self.store.pending() if c.round == round]
        self.live.phase(round, f"evaluating {len(waiting)} candidates")
        tasks = [
            (
                c.id,
                c.crystal,
                phase_seed(self.parts.spec.seed, round, "evaluate", int(c.id.partition("-")[2])),
            )
            for c in waiting
        ]
        self._check_hours()
        for name, stages in self.evaluator.evaluate(tasks, self.stop):
            self.store.record(name, stages)
            self.live.outcome(candidates[name], stages, self.store.spent().calls)
            self._check_hours()
        if self.out_of_time:
            return
        if self.stop.is_set():
            raise CampaignInterrupted(
                f"interrupted in round {round}; everything measured is kept. Run the same command again to go on."
            )
        self.store.finish_phase(round, "evaluate")

    def _check_hours(self) -> None:
        limit = self.parts.spec.budget.hours
        if limit is not None and self.hours_before + (time.monotonic() - self.started) / 3600 > limit:
            self.out_of_time = True
            self.stop.set()
