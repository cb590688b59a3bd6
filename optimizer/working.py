"""Another host's part in a campaign: it measures what the driver proposes, and nothing else.

The oracles, their versions and the files that the campaign names must be the same as the driver's; generator, surrogate
and artifacts are not needed. What was measured is in the ledger the moment it is there.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

from campaigns.errors import CampaignInterrupted, LedgerError, SpecError
from campaigns.ledger import Claimed
from campaigns.ledger_address import EXAMPLE
from campaigns.places import find_ledger
from campaigns.records import Candidate
from campaigns.spec import CampaignSpec
from campaigns.store import CampaignStore
from generative.threads import one_thread
from optimizer.build import Parts, build
from optimizer.cascade import Gate, Stages
from optimizer.claims import IDLE_SECONDS, Claims
from optimizer.evaluation import Evaluator, Task
from optimizer.gates import gates_now, gates_of_round
from optimizer.heartbeat import heartbeat
from optimizer.loop import stop_on_signal
from optimizer.phases import evaluation_seed

Tell = Callable[[Candidate, Stages], None]


def work_on_campaign(
    spec: CampaignSpec,
    *,
    folder: Path,
    run_folder: Path,
    tell: Tell = lambda candidate, stages: None,
    wait_minutes: float = 10.0,
) -> tuple[int, str]:
    """Measure candidates of a campaign that another process drives; how many were recorded, and why this ended.

    `folder` is the campaign file's, `run_folder` this host's own. Ends when the calls are spent, when the driver has
    ended, or after `wait_minutes` without anything to do. Raises UserError for what a person can mend, and
    CampaignInterrupted after Ctrl-C, when what is in hand is recorded.
    """
    if spec.ledger is None:
        raise SpecError("ledger", "is missing: a ledger in a file is for one process.", f"Write one like {EXAMPLE}.")
    parts = build(spec, folder, proposes=False)
    if parts.external is not None:
        raise SpecError(f"oracles.{parts.external}", "its values come from outside.", "Use `optimize tell`.")
    if not find_ledger(run_folder, spec):
        raise LedgerError(f"{spec.ledger}: holds no campaign {spec.name!r} yet.", "Start it with `optimize run`.")
    try:
        with (
            CampaignStore.open(run_folder) as store,
            store.take_part(spec, parts.cascade.versions),
            stop_on_signal() as stop,
            parts.evaluator(run_folder) as evaluator,
            heartbeat(store),
            one_thread(),
        ):
            store.event("worker", _arrival(parts, store))
            return _Worker(parts, store, evaluator, stop, wait_minutes * 60).run(tell)
    except KeyboardInterrupt:
        raise CampaignInterrupted("stopped at once; what was in hand is handed out again.") from None


def _arrival(parts: Parts, store: CampaignStore) -> str:
    """Who takes part, and with which other versions than those the campaign began with."""
    began = store.provenance
    others = [f"{name} {value}" for name, value in parts.provenance.items() if began.get(name, value) != value]
    return f"process {os.getpid()} on {socket.gethostname()} takes part{', with ' if others else ''}{', '.join(others)}"


class _Worker:
    def __init__(self, parts: Parts, store: CampaignStore, evaluator: Evaluator, stop: Event, patience: float) -> None:
        self.parts, self.store, self.evaluator, self.stop, self.patience = parts, store, evaluator, stop, patience
        self.versions = "; ".join(f"{name} {version}" for name, version in parts.provenance.items())
        self.claims = Claims(store, stop)
        self.gates: dict[str, dict[str, Gate]] = {}
        self.driven = False  # whether there was a driver
        self.why = ""

    def run(self, tell: Tell) -> tuple[int, str]:
        recorded = 0
        for name, stages in self.evaluator.evaluate(self._tasks(), self.stop, gates=self.gates):
            kept = self.store.record(name, stages, package_versions=self.versions)
            candidate = self.claims.give_back(name)
            self.gates.pop(name, None)
            if kept:
                recorded += 1
                tell(candidate, stages)
        if self.stop.is_set():
            raise CampaignInterrupted(f"stopped after {recorded} candidates; run the same command again to go on.")
        return recorded, self.why

    def _tasks(self) -> Iterator[Task | None]:
        busy_until = time.monotonic()
        while not self.stop.is_set():
            if (claimed := self.claims.take()) is not None:
                candidate = claimed.candidate
                self.gates[candidate.id] = self._gates(claimed)
                yield candidate.id, candidate.crystal, evaluation_seed(self.parts.spec.seed, candidate)
                busy_until = time.monotonic()
            elif self.claims.in_hand:
                yield None
                busy_until = time.monotonic()
            elif self._over(time.monotonic() - busy_until):
                return
            else:
                self.stop.wait(IDLE_SECONDS)

    def _gates(self, claimed: Claimed) -> dict[str, Gate]:
        spec, cascade, candidate = self.parts.spec, self.parts.cascade, claimed.candidate
        if spec.schedule == "async":
            found = gates_now(spec, cascade, self.store, candidate, claimed.in_hand)
        else:
            found = gates_of_round(spec, cascade, self.store, candidate.round)
        return found.get(candidate.id, {})

    def _over(self, idle: float) -> bool:
        """Whether there is no point in staying, with nothing to do for so many seconds."""
        let_go, spent = self.store.let_go, self.store.spent().calls
        if spent >= self.parts.spec.budget.oracle_calls and let_go:
            self.why = "the calls of the campaign are spent"
        elif self.driven and let_go:
            self.why = "its driver has ended"
        elif idle > self.patience:
            self.why = f"nothing to do for {self.patience / 60:g} minutes"
        self.driven = self.driven or not let_go
        return bool(self.why)
