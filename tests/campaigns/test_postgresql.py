"""A ledger that several hosts share: each candidate in one hand at a time, each outcome written once."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from threading import Timer

import pytest
from pymatgen.core import Structure
from sqlalchemy import text, update

from campaigns import ledger_address
from campaigns.errors import CampaignLockedError, LedgerError
from campaigns.owner import Owner
from campaigns.places import find_ledger
from campaigns.records import Candidate, Failed, FailureCode, Measured, StageOutcome
from campaigns.spec import CampaignSpec, parse_spec
from campaigns.store import CampaignStore
from campaigns.tables import leases

CRYSTAL = Structure([[3, 0, 0], [0, 3, 0], [0, 0, 3]], ["W"], [[0, 0, 0]])
MEASURED = [StageOutcome("relax", "1", Measured({"energy_ev_atom": -3.0}, CRYSTAL))]
FAILED = [StageOutcome("relax", "1", Failed(FailureCode.COLLAPSED, ""))]


def spec_of(ledger: str | None, **changes: object) -> CampaignSpec:
    return parse_spec(
        {
            "name": f"shared-{uuid.uuid4().hex[:8]}",
            "oracles": ["relax"],
            "objectives": {"energy_ev_atom": "minimize"},
            "budget": {"oracle_calls": 5},
            "ledger": ledger,
        }
        | changes
    )


@pytest.fixture
def store(tmp_path, database):
    with CampaignStore.create(tmp_path / "here", spec_of(database), provenance={}) as made:
        made.finish_phase(0, "start", candidates=[Candidate(f"c{i}", 0, "a", CRYSTAL, None, "v") for i in range(4)])
        made.finish_phase(1, "propose", candidates=[Candidate("c4", 1, "a", CRYSTAL, None, "v")])
        yield made


@pytest.fixture
def join(store, tmp_path, monkeypatch):
    """The same campaign as a process on another host sees it."""
    with ExitStack() as stack:

        def from_host(host: str) -> CampaignStore:
            folder = tmp_path / host
            assert find_ledger(folder, store.spec)
            there = stack.enter_context(CampaignStore.open(folder))
            with monkeypatch.context() as patch:
                patch.setattr("socket.gethostname", lambda: host)
                stack.enter_context(there.take_part(store.spec))
            return there

        yield from_host


def silent_for(store: CampaignStore, host: str, silence: timedelta) -> None:
    ago = text(
        f"to_char(clock_timestamp() at time zone 'UTC' - interval '{silence.total_seconds()} s', "
        '\'YYYY-MM-DD"T"HH24:MI:SS"+00:00"\')'
    )
    with store._write() as connection:
        connection.execute(update(leases).where(leases.c.host == host).values(heartbeat_at=ago))


def test_each_candidate_is_in_one_hand_and_each_outcome_is_written_once(store, join):
    one, two = join("one"), join("two")
    with store.lock():
        first, second, third = one.claim(), two.claim(), store.claim()
        assert [(each.candidate.id, each.in_hand) for each in (first, second, third)] == [
            ("c0", 0),
            ("c1", 1),
            ("c2", 2),
        ]
        assert first.candidate.crystal == CRYSTAL
        assert {lease.candidate_id: lease.owner.host for lease in store.leases()} | {"c2": ""} == {
            "c0": "one",
            "c1": "two",
            "c2": "",
        }
        assert two.record("c1", MEASURED)
        assert one.record("c0", FAILED)
        assert [lease.candidate_id for lease in one.leases()] == ["c2"]
        assert store.claim(round=1).candidate.id == "c4"
        assert store.outcomes(["c1"]) == {"c1": tuple(MEASURED)}
    assert store.leases() == []
    assert store.spent().calls == 2


def test_what_a_silent_host_had_in_hand_is_handed_out_again_and_counted_once(store, join):
    one, two = join("one"), join("two")
    assert one.claim().candidate.id == "c0"
    silent_for(store, "one", timedelta(seconds=100))
    assert two.claim().candidate.id == "c1"
    one.renew_leases()
    assert {lease.candidate_id for lease in store.leases()} == {"c0", "c1"}
    silent_for(store, "one", timedelta(seconds=130))
    assert [lease.candidate_id for lease in store.leases()] == ["c1"]
    assert two.claim().candidate.id == "c0"
    assert one.record("c0", MEASURED)  # it was only slow
    assert not two.record("c0", FAILED)
    assert store.outcomes()["c0"] == tuple(MEASURED)
    assert store.spent().calls == 1


def test_leases_expire_by_the_clock_of_the_database(store, join, monkeypatch):
    """A host whose clock is an hour off loses nothing and takes nothing from others."""
    one, two = join("one"), join("two")
    one.claim()

    class Fast:
        @staticmethod
        def now(zone):
            return real.now(zone) + timedelta(hours=1)

        fromisoformat = staticmethod(lambda said: real.fromisoformat(said))

    import campaigns.leases as module

    real = module.datetime
    monkeypatch.setattr(module, "datetime", Fast)
    assert two.claim().candidate.id == "c1"
    assert [lease.owner.host for lease in two.leases()] == ["one", "two"]


def test_no_more_are_in_hand_than_calls_are_left(store, join):
    one = join("one")
    store.adopt(store.spec.model_copy(update={"budget": store.spec.budget.model_copy(update={"oracle_calls": 2})}))
    assert [one.claim().candidate.id, one.claim().candidate.id] == ["c0", "c1"]
    assert one.claim() is None
    one.record("c0", MEASURED)
    assert one.claim() is None
    one.record("c1", [StageOutcome("before relax", "gate-1", Failed(FailureCode.STOPPED_BY_RULE, ""))])
    assert one.claim().candidate.id == "c2"


def test_many_claim_at_once(store, join):
    hosts = [join(f"host{i}") for i in range(5)]
    with ThreadPoolExecutor(5) as threads:
        claimed = list(threads.map(lambda each: each.claim(), hosts))
    assert sorted(each.candidate.id for each in claimed) == ["c0", "c1", "c2", "c3", "c4"]
    assert sorted(each.in_hand for each in claimed) == [0, 1, 2, 3, 4]


def test_a_new_driver_takes_what_the_last_one_had_and_leaves_the_others(store, join):
    one = join("one")
    one.claim()
    gone = Owner(1, "elsewhere", "", "2024-01-01T00:00:00+00:00")
    from campaigns import leases as of_leases

    with store._write() as connection:
        of_leases.write_lock(connection, gone)
        of_leases.write_lease(connection, "c1", gone)
    with pytest.raises(CampaignLockedError, match=r"elsewhere drives this campaign"), store.lock():
        pass
    with store.lock(take_over=True):
        assert [lease.candidate_id for lease in store.leases()] == ["c0"]
        assert store.claim().candidate.id == "c1"


def test_only_the_driver_or_who_takes_part_may_claim(store, tmp_path):
    with pytest.raises(CampaignLockedError, match="nobody drives this campaign now"):
        store.claim()
    alone = CampaignStore.create(tmp_path / "file", spec_of(None), provenance={})
    with alone, pytest.raises(LedgerError, match="its ledger is a file"), alone.take_part(alone.spec):
        pass
    other = store.spec.model_copy(update={"seed": 9})
    with pytest.raises(LedgerError, match="seed: is 9"), store.take_part(other):
        pass


def test_one_campaign_never_gets_two_ledgers(store, tmp_path, database):
    spec = store.spec
    there = f"{database}?connect_timeout=5"  # another name of the same database
    assert find_ledger(store.folder, spec.model_copy(update={"ledger": there}))
    with pytest.raises(LedgerError, match=r"holds a campaign already"):
        CampaignStore.create(tmp_path / "again", spec, provenance={})
    with pytest.raises(LedgerError, match=r"its ledger lies in postgresql://.*another `name`"):
        find_ledger(store.folder, spec.model_copy(update={"ledger": None}))
    with pytest.raises(LedgerError, match=r"holds no campaign 'other'"):
        find_ledger(store.folder, spec.model_copy(update={"name": "other"}))
    assert not find_ledger(tmp_path / "new", spec_of(None))
    alone = CampaignStore.create(tmp_path / "file", spec_of(None), provenance={})
    with alone, pytest.raises(LedgerError, match=r"its ledger is the file ledger.sqlite, not postgresql://"):
        find_ledger(alone.folder, alone.spec.model_copy(update={"ledger": database}))


def test_an_address_that_leads_nowhere_is_named_in_one_message(tmp_path, database, postgresql):
    for address, said in (
        (database.replace("/materials", "/nothing"), 'database "nothing" does not exist'),
        (database.replace(postgresql.place, "127.0.0.1:1"), "Connection refused"),
    ):
        with pytest.raises(LedgerError, match=said) as caught:
            find_ledger(tmp_path / "x", spec_of(address))
        assert address in caught.value.message
    with pytest.raises(LedgerError, match="too long"):
        find_ledger(tmp_path / "x", spec_of(database, name="n" * 60))


def test_a_foreign_pointer_is_no_ledger(store):
    (store.folder / "ledger.url").write_text("sqlite:////etc/passwd#x")
    with pytest.raises(LedgerError, match="names no ledger"):
        CampaignStore.open(store.folder)


def test_a_database_that_was_away_for_a_moment_is_asked_again(store):
    with store._write() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'latentore'"
        connection.execute(text(f"{others} AND pid <> pg_backend_pid()"))
    with CampaignStore.open(store.folder) as other, other._write() as connection:
        connection.execute(text(f"{others} AND pid <> pg_backend_pid()"))
    assert len(store.candidates()) == 5


def test_a_server_that_is_started_anew_is_waited_for(store, postgresql):
    """Its last moments may have cost hours of measuring."""
    postgresql.stop()
    starting = Timer(0.5, postgresql.start)
    starting.start()
    assert store.record("c0", MEASURED)
    starting.join()
    assert store.spent().calls == 1


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://me:hunter2@host/db", "holds a password"),
        ("postgresql://me@host/db?password=hunter2", "holds a password"),
        ("postgres://me:hunter2@host/db", "holds a password"),
        ("sqlite:///ledger", "does not begin with postgresql://"),
        ("postgresql://host", "names no database"),
        ("postgresql://host/db/other", "names no database"),
        ("postgresql://host:port/db", "is no address"),
        ("postgresql://host/db?options=-cfsync", "asks for options"),
        ("postgresql://host/db#x", "holds what no address does"),
    ],
)
def test_an_address_is_one_of_postgresql_without_secrets(address, said):
    with pytest.raises(ValueError, match=said) as caught:
        ledger_address.checked_address(address)
    assert "hunter2" not in str(caught.value)


def test_an_address_may_name_a_socket_and_certificates():
    for address in ("postgresql:///db?host=/run/postgresql", "postgresql://me@[::1]:5433/db?sslmode=verify-full"):
        assert ledger_address.checked_address(address) == address


def test_without_its_driver_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("campaigns.postgresql.find_spec", lambda name: None)
    with pytest.raises(LedgerError, match=r"asks for psycopg.*pip install 'latentore\[postgresql\]'"):
        find_ledger(tmp_path, spec_of("postgresql://host/db"))
