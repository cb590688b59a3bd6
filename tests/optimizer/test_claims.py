"""A campaign without batches beside another host, which measures some of it. Rounds: test_several_hosts.py."""

from __future__ import annotations

from threading import Event

import pytest
from small_campaign import SMALL

from campaigns.errors import LedgerError, SpecError
from campaigns.owner import Owner
from campaigns.places import find_ledger
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from optimizer import build as building
from optimizer import evaluation, protocols
from optimizer.async_schedule import replayed
from optimizer.claims import Claims
from optimizer.horizon import NOTED, outcomes_told
from optimizer.loop import run_campaign
from optimizer.phases import evaluation_seed
from optimizer.working import work_on_campaign

SPEC = SMALL | {"name": "beside", "schedule": "async", "budget": {"oracle_calls": 7}}


class OtherHost:
    """Comes whenever the driver hands something out: takes two, brings one back at once and the other later."""

    def __init__(self, spec, folder) -> None:
        assert find_ledger(folder, spec)
        self.store, self.parts = CampaignStore.open(folder), building.build(spec, folder, proposes=False)
        self.part = self.store.take_part(spec)
        self.taken, self.recorded = [], []

    def visit(self) -> None:
        if self.taken:
            self.bring()
        else:
            while len(self.taken) < 2 and (claimed := self.store.claim()):
                self.taken.append(claimed.candidate)
            if len(self.taken) == 2:
                self.bring()

    def bring(self) -> None:
        candidate = self.taken.pop()
        seed = evaluation_seed(self.parts.spec.seed, candidate)
        assert self.store.record(candidate.id, self.parts.cascade.evaluate(candidate.crystal, seed))
        self.recorded.append(candidate.id)


def test_what_others_measure_is_heard_and_every_proposal_can_be_made_again(tmp_path, database, monkeypatch):
    spec, others = parse_spec(SPEC | {"ledger": database}), []
    in_one_process = protocols.ExecutorContext(1)
    monkeypatch.setattr(building, "ExecutorContext", lambda workers, apart: in_one_process)
    monkeypatch.setattr("optimizer.claims.IDLE_SECONDS", 0.05)
    monkeypatch.setattr("optimizer.async_schedule.IDLE_SECONDS", 0.05)
    submit = evaluation.Evaluator._submit

    def beside(self, task, gates):
        if not others:
            others.append(OtherHost(spec, tmp_path / "there"))
            with monkeypatch.context() as patch:
                patch.setattr(Owner, "this_process", lambda: Owner(7, "there", "", "2024-01-01T00:00:00+00:00"))
                others[0].part.__enter__()
        others[0].visit()
        return submit(self, task, gates)

    monkeypatch.setattr(evaluation.Evaluator, "_submit", beside)
    waits = Claims.hear

    def heard(self, waiting, *, at_once=False):
        if at_once and others[0].taken:  # the driver has nothing to do until this is there
            others[0].bring()
        return waits(self, waiting, at_once=at_once)

    monkeypatch.setattr(Claims, "hear", heard)
    run_campaign(spec, folder=tmp_path, run_folder=tmp_path / "here", quiet=True)
    others[0].part.__exit__(None, None, None)
    others[0].store.close()

    with CampaignStore.open(tmp_path / "here") as store:
        names = [candidate.id for candidate in store.candidates()]
        assert store.spent().calls == len(store.outcomes()) == len(names) == 7
        assert 2 <= len(others[0].recorded) < 7
        assert set(others[0].recorded) < set(names)
        assert (store.leases(), store.pending(), store.driver) == ([], [], None)
        made = [record for record in store.rounds() if record.phase == "propose"]
        told = outcomes_told(made)
        assert len(told) == len(set(told))
        assert set(told) & set(others[0].recorded)
        assert any(record.figures[NOTED]["pending"] for record in made)
        parts = building.build(store.spec, tmp_path)
        for record in made:
            assert list(replayed(parts, store, record.round).candidates) == store.candidates(record.round)
        assert {r.round for r in store.rounds() if r.phase == "evaluate"} == {0, *(r.round for r in made)}


def test_who_is_told_that_there_is_nothing_waits_before_asking_again():
    class Nothing:
        asked = 0

        def claim(self, round):
            self.asked += 1

    store = Nothing()
    claims = Claims(store, Event())
    assert claims.take() is claims.take() is None
    assert store.asked == 1


@pytest.mark.parametrize("schedule", ["async", "rounds"])
def test_who_proposes_for_others_measures_in_a_process_of_its_own(tmp_path, schedule):
    pytest.importorskip("psycopg")
    spec = parse_spec(SPEC | {"schedule": schedule, "ledger": "postgresql://nowhere/db"})
    assert building.build(spec, tmp_path).workers.apart == (schedule == "async")
    assert not building.build(spec, tmp_path, proposes=False).workers.apart


def test_other_hosts_are_refused_where_the_ledger_is_a_file_or_holds_no_such_campaign(tmp_path, database):
    with pytest.raises(SpecError, match=r"ledger: is missing.*Write one like postgresql://"):
        work_on_campaign(parse_spec(SPEC), folder=tmp_path, run_folder=tmp_path / "run")
    spec = parse_spec(SPEC | {"name": "never_begun", "ledger": database})
    with pytest.raises(LedgerError, match=r"holds no campaign 'never_begun' yet. Start it with `optimize run`"):
        work_on_campaign(spec, folder=tmp_path, run_folder=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
