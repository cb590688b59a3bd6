"""The schedule in which a free worker never waits for a batch.

One candidate, or as many as workers are free, is proposed from everything committed so far, with what is in hand as
pending points, and ahead of need: in a thread of its own, while the workers go on. Each proposal is a round of its own,
and the ledger keeps with it which outcomes it had seen, so that `replayed` makes it again, whatever came first.

Pending points in asynchronous Bayesian optimisation: Ginsbourger, Janusevskis & Le Riche, "Dealing with asynchronicity
in parallel Gaussian process based global optimization", 2011; Snoek, Larochelle & Adams, "Practical Bayesian
Optimization of Machine Learning Algorithms", NeurIPS 2012.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import inf, sqrt
from statistics import median
from typing import Any

from campaigns.errors import UserError
from campaigns.ledger import Claimed, RoundRecord
from campaigns.records import Candidate
from campaigns.store import CampaignStore
from generative.threads import one_thread
from optimizer.build import Parts
from optimizer.cascade import Gate, Stages
from optimizer.claims import IDLE_SECONDS
from optimizer.costs import TYPICAL_PROPOSAL_S
from optimizer.evaluation import Task
from optimizer.gates import calls_left_of_stages, gates_now
from optimizer.heartbeat import heartbeat
from optimizer.horizon import NOTED, Horizon, note, outcomes_told
from optimizer.narration import proposal_figures
from optimizer.phases import evaluation_seed
from optimizer.proposal import Proposal, proposal
from optimizer.round_calibration import calibration
from optimizer.session import IDLE_ROUNDS, Session

RECENT = 16  # candidates whose time says how many will be measured during a proposal


@dataclass(frozen=True)
class _Proposing:
    """A proposal on its way."""

    future: Future[tuple[Proposal, float]]  # and its seconds
    horizon: Horizon
    noted: dict[str, Any]


class AsyncSchedule(Session):
    """Every worker has a candidate in hand and `_ahead` more wait, one where measuring takes long."""

    def run(self) -> None:
        """What was in hand when the last session ended is measured first."""
        try:
            self.start()
            self._recall()
            tasks = self._tasks()
            with ThreadPoolExecutor(1, thread_name_prefix="proposes") as self.proposer, heartbeat(self.store):
                for name, stages in self.evaluator.evaluate(tasks, self.stop, self.begin, self.gates):
                    self._commit(name, stages)
        finally:
            self.tick()
        if self.out_of_time():
            self.say_out_of_time(self.number)
        elif self.stop.is_set():
            raise self.interrupted(self.number)
        else:
            self.say_exhausted(self.number)
            if self._starved():
                self.say_starved(self.number, f"{self.empty or self.fruitless} proposals")

    def _recall(self) -> None:
        """Where the last session ended, from the ledger."""
        records, outcomes = self.store.rounds(), self.store.outcomes()
        proposals = [record for record in records if record.phase == "propose"]
        self.number = max((record.round for record in proposals), default=0)
        self.committed = outcomes_told(proposals)
        self.told = len(self.committed)
        seen = set(self.committed)
        self.committed += [name for name in outcomes if name not in seen]
        self.waiting = deque(self.store.pending())
        self.in_hand: dict[str, Candidate] = {}
        self.gates: dict[str, dict[str, Gate]] = {}
        self.proposing: _Proposing | None = None
        self.alone = self.evaluator.in_process
        last = proposals[-1].figures if proposals else {}
        self.proposal_seconds: float = last.get("seconds", TYPICAL_PROPOSAL_S)
        self.began: dict[str, float] = {}
        self.took: deque[float] = deque(maxlen=RECENT)  # seconds from handing out to committing
        self.empty = self.fruitless = 0  # proposals without a candidate, candidates without a call, in a row
        closed = {record.round for record in records if record.phase == "evaluate"}
        self.open: dict[int, dict[str, tuple[Candidate, Stages]]] = {}
        for round in sorted({record.round for record in records} - closed):
            self._open(round, self.store.candidates(round), outcomes)
        self.live.evaluating(self.number, len(self.waiting))

    # what the evaluator is given

    def _tasks(self) -> Iterator[Task | None]:
        """The next candidate for a free worker; None where there is none yet, and one in hand may bring another."""
        while not self.out_of_time() and not self.stop.is_set():
            self._collect()
            self._hear()
            if (claimed := self._next()) is not None:
                candidate, others = claimed.candidate, claimed.in_hand
                self.gates |= gates_now(self.parts.spec, self.parts.cascade, self.store, candidate, others)
                self.in_hand[candidate.id], self.began[candidate.id] = candidate, time.monotonic()
                self._propose_ahead()
                yield candidate.id, candidate.crystal, evaluation_seed(self.parts.spec.seed, candidate)
                continue
            self._propose_ahead()
            if self.in_hand:
                yield None
            elif self.proposing is not None:
                self._collect(wait=True)
            elif not self._others_may_bring():
                return

    def _next(self) -> Claimed | None:
        """The candidate to be handed out now, and how many are in hand."""
        in_hand = len(self.in_hand) + self._elsewhere()
        if not self.waiting or in_hand >= self.calls_left():
            return None
        if self.claims is None:
            return Claimed(self.waiting.popleft(), in_hand)
        if (claimed := self.claims.take()) is not None:
            self.waiting = deque(each for each in self.waiting if each.id != claimed.candidate.id)
        return claimed

    def calls_left(self) -> int:
        """What is in hand or waiting counts as left. Where a stage that the objective needs has a budget of its own,
        nobody is handed out whom it would only turn away.
        """
        entered, needed = self.store.spent().stage_counts, self.parts.objective.properties
        stages = calls_left_of_stages(self.parts.spec, self.parts.cascade, entered, needed)
        return int(min(super().calls_left(), stages))

    # proposing

    def _propose_ahead(self) -> None:
        """Begin a proposal where workers are free or will soon be, and calls are left that nobody is to use."""
        if self.proposing is not None or self._starved():
            return
        pending = [*self.in_hand, *(each.id for each in self.waiting)]
        places = self.evaluator.places + self._elsewhere()
        asked = min(places + self._ahead(), self.calls_left()) - len(pending)
        if asked <= 0:
            return
        horizon = Horizon(self.number + 1, tuple(self.committed), self.parts.spec.batch_size)
        noted = note(horizon, asked=asked, told=self.told, pending=sorted(pending))
        self.live.phase(horizon.number, f"proposing {asked}, {len(self.in_hand)} in hand")
        future = self.proposer.submit(_propose, self.parts, self.store, horizon, asked)
        self.proposing = _Proposing(future, horizon, noted)

    def _ahead(self) -> int:
        """One, and as many as may be measured while the next proposal is made: the mean and a standard deviation of a
        Poisson count. At most `batch_size`, and no more than there is evidence for. None with one worker in this
        process, which can do nothing else meanwhile.
        """
        if self.alone:
            return 0
        pace = median(self.took) / self.evaluator.places if self.took else inf
        mean = self.proposal_seconds / max(pace, 1e-3)
        return max(1, min(1 + int(mean + sqrt(mean)), self.parts.spec.batch_size, len(self.committed)))

    def _collect(self, *, wait: bool = False) -> None:
        """Write down the proposal that was on its way, where it is ready or waited for."""
        if self.proposing is None or not (wait or self.proposing.future.done()):
            return
        done, self.proposing = self.proposing, None
        made, seconds = done.future.result()
        made.write(self.store, seconds=round(seconds, 3), **{NOTED: done.noted})
        self.number, self.told = made.round, len(done.horizon.seen)
        self.proposal_seconds = seconds
        self.empty = 0 if made.candidates else self.empty + 1
        self.waiting.extend(made.candidates)
        self._open(made.round, made.candidates, {})
        self._explain(made)
        self.tick()

    def _explain(self, made: Proposal) -> None:
        """Tell why the proposal looks where it does."""
        tally, record = self.live.tally, RoundRecord(made.round, "propose", made.failures, made.figures, "")
        self.live.proposed(proposal_figures(record), (tally.feasible, tally.complete))
        self.live.evaluating(made.round, len(self.in_hand) + len(self.waiting))

    def _starved(self) -> bool:
        return self.empty >= IDLE_ROUNDS or self.fruitless >= IDLE_ROUNDS * self.parts.spec.batch_size

    # what comes back

    def _commit(self, name: str, stages: Stages) -> None:
        candidate = self.in_hand.pop(name)
        self.took.append(time.monotonic() - self.began.pop(name))
        self.gates.pop(name, None)
        kept = self.store.record(name, stages, package_versions=self.versions)
        if self.claims is not None:
            self.claims.give_back(name)
        if kept:
            self._tell(candidate, stages)
        else:  # another was faster with what this process had lost; what it recorded is heard next
            self.waiting.append(candidate)

    def _tell(self, candidate: Candidate, stages: Stages) -> None:
        """What the next proposal knows of."""
        self.committed.append(candidate.id)
        called = any(stage.stage == self.store.dearest_stage for stage in stages)
        self.empty, self.fruitless = (0, 0) if called else (self.empty, self.fruitless + 1)
        self.live.outcome(candidate, stages, self.store.spent().calls)
        self.open[candidate.round][candidate.id] = candidate, stages
        self._close(candidate.round)

    # what others who share the campaign have in hand, and bring

    def _elsewhere(self) -> int:
        return 0 if self.claims is None else self.claims.elsewhere

    def _hear(self, *, at_once: bool = False) -> bool:
        """Tell what others recorded; whether there was something."""
        if self.claims is None:
            return False
        waiting = {each.id: each for each in self.waiting}
        heard = self.claims.hear(waiting, at_once=at_once)
        self.waiting = deque(each for each in self.waiting if each.id not in heard)
        for name, stages in heard.items():
            self._tell(waiting[name], stages)
        return bool(heard)

    def _others_may_bring(self) -> bool:
        """With nothing to do here: whether what others have in hand, or lose, may bring something. Waits for it."""
        if self.claims is None:
            return False
        heard = self._hear(at_once=True)
        going_on = heard or self.claims.elsewhere > 0 or (bool(self.waiting) and self.calls_left() > 0)
        if going_on and not heard:
            self.stop.wait(IDLE_SECONDS)
        return going_on

    def _open(self, round: int, candidates: Iterable[Candidate], outcomes: Mapping[str, Stages]) -> None:
        """Follow a round until all its candidates have outcomes."""
        self.open[round] = {each.id: (each, outcomes.get(each.id, ())) for each in candidates}
        self._close(round)

    def _close(self, round: int) -> None:
        found = self.open[round].values()
        if all(stages for _, stages in found):
            self.store.finish_phase(round, "evaluate", figures={"calibration": calibration(found)})
            del self.open[round]


def _propose(parts: Parts, store: CampaignStore, horizon: Horizon, q: int) -> tuple[Proposal, float]:
    """The proposal, and how many seconds it took."""
    since = time.monotonic()
    with one_thread():
        made = proposal(parts, store, horizon.number, q, lambda text: None, horizon)
    return made, time.monotonic() - since


def replayed(parts: Parts, store: CampaignStore, number: int) -> Proposal:
    """Proposal `number` of a campaign that ran with `schedule: async`, made again from what it had seen.

    `parts` as `build` makes them of the ledger's spec; nothing is written. The same device and package versions give
    the same crystals. Raises UserError where the ledger holds no such proposal.
    """
    records = [record for record in store.rounds() if record.phase == "propose" and record.round <= number]
    if not records or records[-1].round != number or NOTED not in records[-1].figures:
        raise UserError(f"{store.folder}: holds no proposal {number} of the schedule `async`.", "Name another number.")
    horizon = Horizon(number, tuple(outcomes_told(records)), parts.spec.batch_size)
    return _propose(parts, store, horizon, records[-1].figures[NOTED]["asked"])[0]
