"""The campaign: propose and evaluate until the budget is spent, in rounds or without. Resuming is running again."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, current_thread, main_thread
from types import FrameType
from typing import TextIO

from campaigns.errors import CampaignInterrupted, SpecError
from campaigns.places import find_ledger
from campaigns.records import Candidate
from campaigns.spec import CampaignSpec
from campaigns.store import CampaignStore
from generative.progress import reported_to
from generative.threads import one_thread
from optimizer.async_schedule import AsyncSchedule
from optimizer.build import Parts, build
from optimizer.cascade import Stages
from optimizer.evaluation import Task
from optimizer.gates import gates_of_round
from optimizer.heartbeat import heartbeat
from optimizer.json_lines import JsonLines, emit
from optimizer.live import Live
from optimizer.narration import last_proposal, proposal_figures
from optimizer.phases import evaluation_seed
from optimizer.proposal import propose_phase
from optimizer.refinement import current_generator, refine_phase, refinement_due
from optimizer.round_calibration import round_calibration
from optimizer.session import GO_ON, IDLE_ROUNDS, STARVED, Session


def run_campaign(
    spec: CampaignSpec,
    *,
    folder: Path,
    run_folder: Path,
    quiet: bool = False,
    take_over: bool = False,
    json_lines: TextIO | None = None,
) -> Path:
    """Run `spec` in `run_folder`, or go on where it was left; returns the run folder.

    `folder` is the campaign file's. With `json_lines` every event is written there, see `optimizer.json_lines`.
    Raises UserError for what a person can mend, and CampaignInterrupted after Ctrl-C, when the candidates in hand are
    finished and recorded; a second Ctrl-C gives them up.
    """
    parts = build(spec, folder)
    if parts.external is not None:
        raise SpecError(
            f"oracles.{parts.external}",
            "its values come from outside, so nothing can run through.",
            "Use `optimize ask` and `optimize tell`.",
        )
    schedule = AsyncSchedule if spec.schedule == "async" else Rounds
    try:
        with open_or_create(parts, run_folder) as store, store.lock(take_over=take_over):
            store.adopt(spec, parts.cascade.versions)
            parts = current_generator(parts, store)
            live = _display(parts, store, quiet, json_lines)
            with (
                stop_on_signal() as stop,
                parts.evaluator(run_folder) as evaluator,
                live,
                reported_to(live.step),
                one_thread(),
            ):
                schedule(parts, store, evaluator, live, stop).run()
    except KeyboardInterrupt:
        raise CampaignInterrupted(f"stopped at once; what was in hand is lost, {GO_ON}") from None
    return run_folder


def _display(parts: Parts, store: CampaignStore, quiet: bool, json_lines: TextIO | None) -> Live | JsonLines:
    """A person's view of the session, or a program's."""
    calls, spent = parts.spec.budget.oracle_calls, store.spent().calls
    if json_lines is None:
        return Live(parts.objective, calls, spent, quiet=quiet)
    said = {"campaign": parts.spec.name, "run_folder": str(store.folder), "version": parts.provenance["latentore"]}
    emit(json_lines, "started", **said, pid=os.getpid(), host=socket.gethostname(), calls=spent, of=calls)
    return JsonLines(parts.objective, calls, spent, json_lines)


def open_or_create(parts: Parts, run_folder: Path) -> CampaignStore:
    """The campaign's store, made now where there is none."""
    if find_ledger(run_folder, parts.spec):
        return CampaignStore.open(run_folder)
    return CampaignStore.create(
        run_folder, parts.spec, provenance=parts.provenance, dearest_stage=parts.cascade.dearest
    )


@contextmanager
def stop_on_signal() -> Iterator[Event]:
    """The first Ctrl-C or SIGTERM asks to stop after the candidates in hand; the second is an ordinary one."""
    stop = Event()
    if current_thread() is not main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, previous[number])  # a second one does what it always does

    previous = {int(number): signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in previous:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Rounds(Session):
    """Propose a batch, measure all of it, and again: no decision depends on time."""

    def run(self) -> None:
        """Rounds, those proposed before first: a round that was cut off is finished before anything else."""
        round, idle = 0, 0
        gave_up = sum(event.kind == STARVED for event in self.store.events())
        try:
            while idle < IDLE_ROUNDS and (self._proposed(round) or self._may_go_on()):
                if self.out_of_time() or not self._round(round):
                    self.say_out_of_time(round)
                    return
                self.tick()
                idle = 0 if round == 0 or self._brought_calls(round) else idle + 1
                if idle == IDLE_ROUNDS and gave_up:  # a session ended here; since then the list may have grown
                    idle, gave_up = 0, gave_up - 1
                round += 1
        finally:
            self.tick()
        self.say_exhausted(round - 1)
        if idle == IDLE_ROUNDS:
            self.say_starved(round - 1, f"{IDLE_ROUNDS} rounds")

    def _round(self, round: int) -> bool:
        """Propose and evaluate; False where the hours ran out before all was evaluated."""
        if round == 0:
            self.start()
        else:
            q = min(self.parts.spec.batch_size, self.calls_left())
            before = self._proposed(round)
            propose_phase(self.parts, self.store, round, q, lambda text: self.live.phase(round, text))
            if not before:
                self._explain()
        if not self._evaluate(round):
            return False
        self._refine(round)
        return True

    def _explain(self) -> None:
        """Tell why the round that was just proposed looks where it does."""
        if record := last_proposal(self.store.rounds()):
            tally = self.live.tally
            self.live.proposed(proposal_figures(record), (tally.feasible, tally.complete))

    def _refine(self, round: int) -> None:
        """Retrain the generator where the schedule asks for it and calls are left that could gain by it."""
        if (
            self._may_go_on()
            and not self.store.phase_done(round, "refine")
            and refinement_due(self.store, self.parts.objective, round)
        ):
            self.parts = refine_phase(self.parts, self.store, round, lambda text: self.live.phase(round, text))

    def _proposed(self, round: int) -> bool:
        return self.store.phase_done(round, "start" if round == 0 else "propose")

    def _may_go_on(self) -> bool:
        return self.calls_left() > 0 and self.exhausted() is None

    def _brought_calls(self, round: int) -> bool:
        outcomes = self.store.outcomes([candidate.id for candidate in self.store.candidates(round)])
        return any(stage.stage == self.store.dearest_stage for stages in outcomes.values() for stage in stages)

    def _evaluate(self, round: int) -> bool:
        """Evaluate what the round proposed and has no outcome yet; each outcome is committed as it comes."""
        if self.store.phase_done(round, "evaluate"):
            return True
        gates = gates_of_round(self.parts.spec, self.parts.cascade, self.store, round)
        # more are waiting than calls are left only where the budget was lowered since they were proposed
        while waiting := [c for c in self.store.pending() if c.round == round][: max(0, self.calls_left())]:
            self.live.evaluating(round, len(waiting))
            candidates = {c.id: c for c in waiting}
            tasks = self._tasks(round, candidates)
            with heartbeat(self.store):
                for name, stages in self.evaluator.evaluate(tasks, self.stop, self.begin, gates):
                    self._commit(name, stages, candidates)
            if self.stop.is_set():
                break
        if self.stop.is_set() and not self.out_of_time():
            raise self.interrupted(round)
        if any(c.round == round for c in self.store.pending()):
            return not self.out_of_time()
        self.store.finish_phase(round, "evaluate", figures={"calibration": round_calibration(self.store, round)})
        return True

    def _tasks(self, round: int, candidates: dict[str, Candidate]) -> Iterable[Task | None]:
        """All of these, or those of them that nobody else takes."""
        seed = self.parts.spec.seed
        if self.claims is not None:
            return self.claims.of_round(round, candidates, seed, self._tell)
        return [(c.id, c.crystal, evaluation_seed(seed, c)) for c in candidates.values()]

    def _commit(self, name: str, stages: Stages, candidates: dict[str, Candidate]) -> None:
        """Where another was faster with a candidate that this process had lost, the other's outcome counts."""
        kept = self.store.record(name, stages, package_versions=self.versions)
        if self.claims is not None:
            self.claims.give_back(name)
        if kept:
            self._tell(candidates.pop(name), stages)

    def _tell(self, candidate: Candidate, stages: Stages) -> bool:
        """Show an outcome; whether to go on."""
        self.live.outcome(candidate, stages, self.store.spent().calls)
        if self.out_of_time():
            self.stop.set()
        return not self.stop.is_set()
