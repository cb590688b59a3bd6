"""What one of several processes that share a campaign takes in hand, and what it hears of the others.

Whoever drives proposes; all of them claim what was proposed, one candidate after the other, from the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from math import inf
from threading import Event

from campaigns.ledger import Claimed
from campaigns.records import Candidate
from campaigns.store import CampaignStore
from optimizer.cascade import Stages
from optimizer.evaluation import Task
from optimizer.phases import evaluation_seed

IDLE_SECONDS = 1.0  # until whoever found nothing looks again; a hundred idle workers are nothing to a database


class Claims:
    """Of one process. `in_hand` is what it took and has not given back; `elsewhere` how many others have in hand."""

    def __init__(self, store: CampaignStore, stop: Event) -> None:
        self.store, self.stop = store, stop
        self.in_hand: dict[str, Candidate] = {}
        self.elsewhere = 0
        self._claims_from = self._hears_from = -inf

    def take(self, round: int | None = None) -> Claimed | None:
        """The next candidate, of this round or of any; None where there is none, or was none a moment ago."""
        if time.monotonic() < self._claims_from:
            return None
        if (claimed := self.store.claim(round)) is None:
            self._claims_from = time.monotonic() + IDLE_SECONDS
            return None
        self.in_hand[claimed.candidate.id] = claimed.candidate
        return claimed

    def give_back(self, name: str) -> Candidate:
        """It has an outcome."""
        return self.in_hand.pop(name)

    def hear(self, waiting: Mapping[str, Candidate], *, at_once: bool = False) -> dict[str, Stages]:
        """Outcomes of these that others recorded, at most once in a while unless it is to be `at_once`.

        `elsewhere` is looked up first: what is gone from there is heard now.
        """
        if time.monotonic() < self._hears_from and not at_once:
            return {}
        self.elsewhere = sum(lease.candidate_id not in self.in_hand for lease in self.store.leases())
        self._hears_from = time.monotonic() + IDLE_SECONDS
        return self.store.outcomes([name for name in waiting if name not in self.in_hand])

    def of_round(
        self, round: int, waiting: dict[str, Candidate], seed: int, tell: Callable[[Candidate, Stages], bool]
    ) -> Iterator[Task | None]:
        """Tasks until every candidate in `waiting` has an outcome; those of others are told, and taken out.

        `tell` says whether to go on. While others have the rest in hand, this waits: a worker of theirs may die.
        """
        going = True
        while going and not self.stop.is_set():
            for name, stages in self.hear(waiting).items():
                going = tell(waiting.pop(name), stages)
            if going and (claimed := self.take(round)) is not None:
                waiting[claimed.candidate.id] = claimed.candidate
                yield claimed.candidate.id, claimed.candidate.crystal, evaluation_seed(seed, claimed.candidate)
            elif not waiting:
                return
            elif self.in_hand:
                yield None
            else:
                self.stop.wait(IDLE_SECONDS)
