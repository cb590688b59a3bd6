"""What a process has in hand: noted when it is handed out, gone with its outcome or with the process."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pymatgen.core import Structure

from campaigns.errors import CampaignLockedError
from campaigns.records import Candidate, Failed, FailureCode, StageOutcome
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore

SPEC = {
    "name": "leased",
    "oracles": ["relax"],
    "objectives": {"energy_ev_atom": "minimize"},
    "budget": {"oracle_calls": 10},
}
CRYSTAL = Structure([[3, 0, 0], [0, 3, 0], [0, 0, 3]], ["W"], [[0, 0, 0]])
FAILED = [StageOutcome("relax", "1", Failed(FailureCode.COLLAPSED, ""))]


@pytest.fixture
def store(tmp_path: Path):
    with CampaignStore.create(tmp_path / "leased", parse_spec(SPEC), provenance={}) as made:
        made.finish_phase(0, "start", candidates=[Candidate(f"c{i}", 0, "a", CRYSTAL, None, "v") for i in range(3)])
        yield made


def ago(minutes: float) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="seconds")


def execute(store: CampaignStore, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(store.folder / "ledger.sqlite")) as ledger, ledger:
        ledger.execute(statement, values)


def lease_elsewhere(store: CampaignStore, candidate: str, heartbeat: str) -> None:
    execute(store, "INSERT INTO leases VALUES (?, 1, 'elsewhere', '', ?, ?)", candidate, ago(60), heartbeat)


def test_a_lease_stands_until_the_outcome_is_there(store):
    with store.lock():
        store.lease("c1")
        store.lease("c0")
        store.lease("c0")  # handed out again after its worker died
        with CampaignStore.open(store.folder) as reader:
            held = reader.leases()
        assert [lease.candidate_id for lease in held] == ["c0", "c1"]
        assert {(lease.owner.pid, lease.owner.host) for lease in held} == {(os.getpid(), socket.gethostname())}
        assert ago(1) < held[0].owner.since <= held[0].heartbeat_at
        store.record("c0", FAILED)
        assert [lease.candidate_id for lease in store.leases()] == ["c1"]
    assert store.leases() == []
    assert [c.id for c in store.pending()] == ["c1", "c2"]


def test_only_who_holds_the_lock_may_take_a_candidate(store):
    with pytest.raises(CampaignLockedError, match="nobody drives this campaign now"):
        store.lease("c0")
    with store.lock():
        store.lease("c0")
        other = '{"pid": 7, "host": "elsewhere", "birth": "", "since": "2024-01-01T00:00:00+00:00"}'
        execute(store, "UPDATE meta SET value = ? WHERE key = 'lock'", other)  # as --take-over there would
        with pytest.raises(CampaignLockedError, match="process 7 on elsewhere drives this campaign now"):
            store.lease("c1")
        store.record("c0", FAILED)  # what was in hand is kept
    with CampaignStore.open(store.folder) as reader:
        assert reader.driver is not None
        assert reader.driver.pid == 7


def test_leases_of_a_dead_process_are_dropped(store):
    script = f"""
import os
from pathlib import Path
from campaigns.store import CampaignStore
store = CampaignStore.open(Path({str(store.folder)!r}))
with store.lock():
    store.lease("c0")
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == 9
    with closing(sqlite3.connect(store.folder / "ledger.sqlite")) as ledger:
        assert ledger.execute("SELECT candidate_id FROM leases").fetchall() == [("c0",)]
    assert store.leases() == []
    with store.lock():
        store.lease("c0")
        assert store.leases()[0].owner.pid == os.getpid()


def test_a_lease_of_a_machine_that_fell_silent_is_dropped(store):
    lease_elsewhere(store, "c0", heartbeat=ago(11))
    assert store.leases() == []
    with store.lock():
        store.lease("c0")


def test_what_another_machine_has_in_hand_is_not_handed_out(store):
    lease_elsewhere(store, "c0", heartbeat=ago(1))
    assert [lease.owner.host for lease in store.leases()] == ["elsewhere"]
    with pytest.raises(CampaignLockedError, match=r"process 1 on elsewhere has c0 in hand.*--take-over"), store.lock():
        pass
    with store.lock(take_over=True):
        assert store.leases() == []
        store.lease("c0")


def test_a_heartbeat_renews_what_this_process_has_in_hand(store):
    with store.lock():
        store.lease("c0")
        execute(store, "UPDATE leases SET heartbeat_at = ?", ago(9))
        lease_elsewhere(store, "c1", heartbeat=ago(9))
        store.renew_leases()
        mine, other = store.leases()
        assert mine.heartbeat_at > ago(1)
        assert other.heartbeat_at < ago(8)
