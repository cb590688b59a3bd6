"""How far a proposal of the `async` schedule looks back, so that it can be made again."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from campaigns.ledger import RoundRecord

NOTED = "async"  # in the figures of a proposal: what `note` returns


@dataclass(frozen=True)
class Horizon:
    """Of proposal `number`: the ids of all outcomes that were committed, in the order in which they were.

    Whatever else the ledger holds came later, and the proposal knows nothing of it: what was proposed before and has no
    outcome among these was pending. `period` is how many outcomes the trust region takes for a round.
    """

    number: int
    seen: tuple[str, ...]
    period: int

    def periods(self, start: Container[str]) -> dict[str, int]:
        """Candidate id -> the round that its outcome belongs to for the trust region: 0 for the ids of the `start`.

        What does not fill a period is of the one before, so that a gain counts at once and its lack when the period
        is over.
        """
        searched = [name for name in self.seen if name not in start]
        full = len(searched) // self.period
        found = {name: min(place // self.period + 1, full) for place, name in enumerate(searched)}
        return dict.fromkeys(self.seen, 0) | found


def note(horizon: Horizon, *, asked: int, told: int, pending: Sequence[str]) -> dict[str, object]:
    """What the ledger keeps beside a proposal: how many candidates were `asked` for, the outcomes that came since the
    proposal before, which had seen the first `told`, and what was pending.
    """
    return {"asked": asked, "outcomes": list(horizon.seen[told:]), "pending": list(pending)}


def outcomes_told(records: Sequence[RoundRecord]) -> list[str]:
    """Ids of the outcomes that these proposals and all before them had seen, in the order of commitment."""
    return [name for each in records if NOTED in each.figures for name in each.figures[NOTED]["outcomes"]]
