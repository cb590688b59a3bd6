"""A campaign without batches, one after the other in this process. With workers: test_without_batches.py."""

from __future__ import annotations

import signal
from collections import Counter

import pytest
from small_campaign import SMALL, run_small

from campaigns.errors import CampaignInterrupted, UserError
from campaigns.records import FailureCode
from campaigns.store import CampaignStore
from optimizer.async_schedule import replayed
from optimizer.build import build
from optimizer.horizon import NOTED, outcomes_told
from optimizer.proposal import Proposal

SPEC = SMALL | {"name": "one_by_one", "schedule": "async"}


def run(folder, **changes):
    return run_small(folder, **(SPEC | changes))


def proposals(store):
    return [record for record in store.rounds() if record.phase == "propose"]


def test_every_proposal_sees_all_outcomes_before_it_and_can_be_made_again(tmp_path):
    with CampaignStore.open(run(tmp_path)) as store:
        assert (store.spent().calls, store.pending()) == (6, [])
        made, candidates = proposals(store), store.candidates()
        assert [record.round for record in made] == [1, 2, 3]
        for place, record in enumerate(made):
            assert outcomes_told(made[: place + 1]) == [c.id for c in candidates[: 3 + place]]
            assert (record.figures[NOTED]["asked"], record.figures[NOTED]["pending"]) == (1, [])
        assert {r.round for r in store.rounds() if r.phase == "evaluate"} == {0, 1, 2, 3}
        parts = build(store.spec, tmp_path)
        before = len(store.rounds())
        for number in (3, 1, 2):
            assert list(replayed(parts, store, number).candidates) == store.candidates(number)
        assert len(store.rounds()) == before
        with pytest.raises(UserError, match="holds no proposal 4 of the schedule `async`"):
            replayed(parts, store, 4)


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("where", "turn", "when"),
    [
        ((Proposal, "write"), 1, "before"),  # proposed, not written
        ((Proposal, "write"), 2, "after"),  # written, not handed out
        ((CampaignStore, "record"), 4, "before"),  # measured, not recorded
        ((CampaignStore, "record"), 3, "after"),  # recorded, its round not closed
    ],
)
def test_killed_and_run_again_it_loses_nothing_and_counts_nothing_twice(tmp_path, monkeypatch, where, turn, when):
    """With one worker nothing depends on time, so that it ends as an undisturbed one does."""
    original, calls = getattr(*where), []

    def mortal(*arguments, **named):
        calls.append(arguments)
        if len(calls) == turn and when == "before":
            raise Killed
        result = original(*arguments, **named)
        if len(calls) == turn:
            raise Killed
        return result

    monkeypatch.setattr(*where, mortal)
    with pytest.raises(Killed):
        run(tmp_path)
    monkeypatch.undo()
    with CampaignStore.open(tmp_path / "run") as store:
        kept, waiting = store.outcomes(), [c.id for c in store.pending()]
    with CampaignStore.open(run(tmp_path)) as store:
        assert store.spent().calls == len(store.outcomes()) == len(store.candidates()) == 6
        assert [record.figures[NOTED]["asked"] for record in proposals(store)] == [1, 1, 1]
        assert {name: stages for name, stages in store.outcomes().items() if name in kept} == kept
        told = outcomes_told(proposals(store))
        assert len(told) == len(set(told)) == 5
        assert told[: len(kept) + len(waiting)] == [*kept, *waiting][:5]
        parts = build(store.spec, tmp_path)
        for record in proposals(store):
            assert list(replayed(parts, store, record.round).candidates) == store.candidates(record.round)
        assert {r.round for r in store.rounds() if r.phase == "evaluate"} == {0, 1, 2, 3}


def test_a_stage_with_a_budget_of_its_own_turns_nobody_away_and_ends_the_campaign(tmp_path):
    oracles = ["volume", {"kind": "density", "max_calls": 4}]
    with CampaignStore.open(run(tmp_path, oracles=oracles)) as store:
        assert store.spent().stage_counts == {"volume": 4, "density": 4}
        assert [e.message for e in store.events() if e.kind == "stage_budget_spent"] == [
            "the calls of density are spent, and the objective needs it"
        ]


def test_rules_for_who_may_enter_hold(tmp_path):
    oracles = ["volume", {"kind": "density", "only_if": {"volume_ang3_atom": {"lowest": 0.5}}}]
    with CampaignStore.open(run(tmp_path, oracles=oracles)) as store:
        stopped = [stages[-1] for stages in store.outcomes().values() if stages[-1].stage == "before density"]
        assert stopped
        assert {each.outcome.code for each in stopped} == {FailureCode.STOPPED_BY_RULE}
        assert store.spent().calls == 6


def test_hours_end_it_and_more_of_them_let_it_go_on(tmp_path):
    with CampaignStore.open(run(tmp_path, budget={"oracle_calls": 6, "hours": 1e-9})) as store:
        assert [e.kind for e in store.events() if e.kind != "clock"] == ["out_of_time"]
        assert len(store.pending()) == 3
    with CampaignStore.open(run(tmp_path)) as store:
        assert store.spent().calls == 6


def test_an_interrupt_finishes_what_is_in_hand(tmp_path, monkeypatch):
    record = CampaignStore.record

    def and_stop(store, *arguments, **named):
        signal.raise_signal(signal.SIGINT)
        return record(store, *arguments, **named)

    monkeypatch.setattr(CampaignStore, "record", and_stop)
    with pytest.raises(CampaignInterrupted, match="interrupted in round 0"):
        run(tmp_path)
    with CampaignStore.open(tmp_path / "run") as store:
        assert len(store.outcomes()) == 1
        assert store.driver is None


def test_where_nothing_new_is_to_be_had_it_gives_up(tmp_path, monkeypatch):
    monkeypatch.setattr("optimizer.pool.admit", lambda *given, **named: ([], Counter({FailureCode.KNOWN: 16})))
    with CampaignStore.open(run(tmp_path)) as store:
        (said,) = (e.message for e in store.events() if e.kind == "starved")
        assert said.startswith("gave up: 3 proposals in a row brought no call of volume. before any oracle: ")
        assert "known " in said
        assert [record.failures for record in proposals(store)] == 3 * [{FailureCode.KNOWN: 16}]
        assert store.spent().calls == 3
