"""What a proposal of the schedule `async` had seen, and in which rounds the trust region takes it."""

from __future__ import annotations

from campaigns.ledger import RoundRecord
from optimizer.horizon import NOTED, Horizon, note, outcomes_told

START = {"s0", "s1"}


def test_a_gain_counts_at_once_and_its_lack_when_the_period_is_over():
    seen = ("s1", "a", "s0", "b", "c", "d", "e")
    assert Horizon(1, seen[:4], 3).periods(START) == {"s1": 0, "a": 0, "s0": 0, "b": 0}
    assert Horizon(2, seen[:6], 3).periods(START) == {"s1": 0, "a": 1, "s0": 0, "b": 1, "c": 1, "d": 1}
    assert Horizon(3, seen, 2).periods(START) == {"s1": 0, "s0": 0, "a": 1, "b": 1, "c": 2, "d": 2, "e": 2}


def test_the_notes_of_all_proposals_together_tell_what_was_seen():
    first, second = Horizon(1, ("s0",), 2), Horizon(2, ("s0", "a", "s1"), 2)
    notes = [note(first, asked=2, told=0, pending=["s1"]), note(second, asked=1, told=1, pending=[])]
    assert notes[1] == {"asked": 1, "outcomes": ["a", "s1"], "pending": []}
    records = [RoundRecord(n, "propose", {}, {NOTED: each}, "") for n, each in enumerate(notes, start=1)]
    assert tuple(outcomes_told(records)) == second.seen
    assert tuple(outcomes_told(records[:1])) == first.seen
