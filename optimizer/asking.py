"""Asking for values from outside: the rounds of a campaign, driven from one `ask` to the next.

An ask hands out what was proposed and not handed out yet. Where there is none, it closes the rounds that are told in
full, retrains the generator where the schedule says so, and proposes a round: phases, seeds and transactions are those
of `optimize run`, so a campaign that is told everything before it asks again ends with the same candidates. One that
asks earlier gets a round that minds what is pending.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from campaigns.errors import CampaignInterrupted
from campaigns.ledger import Awaited
from campaigns.records import Candidate, final_crystal, first_failure, kept_out, last_values
from campaigns.spec import CampaignSpec
from campaigns.store import CampaignStore
from generative.threads import one_thread
from optimizer.build import Parts, build
from optimizer.cascade import Gate, Stages, stopped_before
from optimizer.gates import exhausted_stage, gates_of_round
from optimizer.handing_out import HandedOut, check_free, free_folder, vasp_set, write_folder
from optimizer.heartbeat import heartbeat
from optimizer.loop import open_or_create, stop_on_signal
from optimizer.phases import Report, evaluation_seed
from optimizer.proposal import propose_phase
from optimizer.refinement import current_generator, refine_phase, refinement_due
from optimizer.round_calibration import round_calibration
from optimizer.session import GO_ON, IDLE_ROUNDS
from optimizer.starting import start_phase
from optimizer.status import CLOCK, failures_by_stage, failures_in_words, hours_spent
from optimizer.telling import external_oracle


@dataclass(frozen=True)
class AskReport:
    """What was handed out. `folder` is None where nothing was, and `why` says the reason."""

    folder: Path | None
    candidates: tuple[str, ...]
    awaited: int  # candidates without values, these included
    calls_left: int  # that may still be asked for
    notes: tuple[str, ...] = ()
    why: str = ""


def ask_campaign(
    spec: CampaignSpec,
    *,
    folder: Path,
    run_folder: Path,
    n: int,
    out: str | Path | None = None,
    vasp: str | None = None,
    again: bool = False,
    report: Report = lambda text: None,
    take_over: bool = False,
) -> AskReport:
    """Hand out at most `n` candidates in `out` (by default a new folder of the run); with `again` only what was
    handed out before and has no value yet, all of it.

    `folder` is the campaign file's. Raises UserError for what a person can mend, CampaignInterrupted after Ctrl-C.
    """
    oracle = external_oracle(spec)
    inputs = None if vasp is None else vasp_set(vasp)
    if out is not None:
        check_free(Path(out))
    parts = build(spec, folder)
    try:
        with open_or_create(parts, run_folder) as store, store.lock(take_over=take_over), one_thread():
            store.adopt(spec, parts.cascade.versions)
            session = _Asking(current_generator(parts, store), store, report)
            wanted = [each for each in store.awaited() if each.handed_out_at] if again else session.ready(n)
            place, notes = Path(out) if out else free_folder(run_folder), []
            if wanted:
                crystals = {c.id: c.crystal for c in store.candidates()}
                files = [HandedOut(w.candidate_id, final_crystal(w.stages, crystals[w.candidate_id])) for w in wanted]
                notes = write_folder(place, files, oracle.properties, inputs)
                store.handed_out([each.candidate_id for each in wanted])
            return AskReport(
                place if wanted else None,
                tuple(each.candidate_id for each in wanted),
                len(store.awaited()),
                session.calls_left(),
                tuple(notes),
                "" if wanted else "nothing handed out waits for values" if again else session.why,
            )
    except KeyboardInterrupt:
        raise CampaignInterrupted(f"stopped at once; what was in hand is lost, {GO_ON}") from None


def close_rounds(store: CampaignStore) -> None:
    """Mark every round as evaluated whose candidates all have outcomes."""
    waiting = {candidate.round for candidate in store.pending()}
    rounds = store.rounds()
    proposed = {r.round for r in rounds if r.phase in ("start", "propose")}
    closed = {r.round for r in rounds if r.phase == "evaluate"}
    for round in sorted(proposed - closed - waiting):
        store.finish_phase(round, "evaluate", figures={"calibration": round_calibration(store, round)})


class _Asking:
    """One ask. Everything it must remember is in the store."""

    def __init__(self, parts: Parts, store: CampaignStore, report: Report) -> None:
        self.parts, self.store, self.report, self.why = parts, store, report, ""
        self.versions = "; ".join(f"{name} {version}" for name, version in parts.provenance.items())

    def calls_left(self) -> int:
        """What is pending was proposed within the budget and will be charged."""
        return self.parts.spec.budget.oracle_calls - self.store.spent().calls - len(self.store.pending())

    def ready(self, n: int) -> list[Awaited]:
        """At most n candidates that wait to be handed out, proposed now where there are none."""
        since = time.monotonic()
        try:
            return self._ready(n)
        finally:
            self.store.event(CLOCK, "time spent driving", hours=(time.monotonic() - since) / 3600)

    def _ready(self, n: int) -> list[Awaited]:
        start_phase(self.parts, self.store, self.report)
        for _ in range(IDLE_ROUNDS + 1):
            self._compute_here()
            close_rounds(self.store)
            if fresh := [each for each in self.store.awaited() if each.handed_out_at is None]:
                return fresh[:n]
            if self.calls_left() <= 0:
                self.why = f"the budget of {self.parts.spec.budget.oracle_calls} calls is spent or handed out"
                return []
            if stage := exhausted_stage(
                self.parts.spec, self.parts.cascade, self.store, self.parts.objective.properties
            ):
                self.why = f"the calls of {stage} are spent or handed out"
                return []
            if self._out_of_time():
                self.why = "the hours of the budget are spent"
                return []
            self._refine()
            round = 1 + max(r.round for r in self.store.rounds() if r.phase in ("start", "propose"))
            propose_phase(self.parts, self.store, round, min(n, self.calls_left()), self.report)
        failed = failures_in_words(failures_by_stage(self.store))
        self.why = f"{IDLE_ROUNDS} rounds in a row brought nothing to hand out. {failed}"
        return []

    def _out_of_time(self) -> bool:
        limit = self.parts.spec.budget.hours
        return limit is not None and hours_spent(self.store) > limit

    def _refine(self) -> None:
        """Retrain after the last round that asks for it, of those that are told, as are all before them."""
        done = {r.round for r in self.store.rounds() if r.phase == "evaluate"}
        refined = max((r.round for r in self.store.rounds() if r.phase == "refine"), default=0)
        told = next(n for n in range(len(done) + 1) if n not in done)
        objective = self.parts.objective
        due = [n for n in range(refined + 1, told) if refinement_due(self.store, objective, n)]
        if due:
            self.parts = refine_phase(self.parts, self.store, due[-1], self.report)

    def _compute_here(self) -> None:
        """Take what was proposed through the stages in front of the external one."""
        known = {each.candidate_id for each in self.store.awaited()}
        waiting = [c for c in self.store.pending() if c.id not in known]
        if len(self.parts.cascade.stages) == 1:
            gates = self._gates(waiting)
            for candidate in waiting:
                self._await_or_stop(candidate.id, (), gates)
        elif waiting:
            self._evaluate(waiting)

    def _evaluate(self, waiting: list[Candidate]) -> None:
        self.report(f"computing {len(waiting)} candidates before they are handed out")
        tasks = [(c.id, c.crystal, evaluation_seed(self.parts.spec.seed, c)) for c in waiting]
        gates, folder = self._gates(waiting), self.store.folder
        with stop_on_signal() as stop, self.parts.evaluator(folder) as evaluator, heartbeat(self.store):
            for name, stages in evaluator.evaluate(tasks, stop, self.store.lease, gates):
                self._await_or_stop(name, stages, gates)
            if stop.is_set():
                raise CampaignInterrupted(f"interrupted; {GO_ON}")

    def _gates(self, waiting: list[Candidate]) -> dict[str, dict[str, Gate]]:
        rounds = sorted({c.round for c in waiting})
        each = [gates_of_round(self.parts.spec, self.parts.cascade, self.store, round) for round in rounds]
        return {name: gates for found in each for name, gates in found.items()}

    def _await_or_stop(self, name: str, stages: Stages, gates: dict[str, dict[str, Gate]]) -> None:
        """To be handed out, unless a stage here failed or was not entered, or the rule of the external one stops it."""
        assert self.parts.external is not None
        outside = self.parts.cascade.stages[self.parts.external].name
        gate = gates.get(name, {}).get(outside)
        stopped = first_failure(stages) or kept_out(stages)
        if not stopped and gate and (stopped := gate.refusal(last_values(stages))):
            stages = (*stages, stopped_before(outside, stopped))
        if stopped:
            self.store.record(name, stages, package_versions=self.versions)
        else:
            self.store.await_outside(name, stages, package_versions=self.versions)
