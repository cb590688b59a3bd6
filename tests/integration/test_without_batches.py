"""`schedule: async` with two workers: killed, gone on with, and every proposal made again from the ledger."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from tiny_campaigns import probed_campaign

from campaigns.spec import load_spec
from campaigns.store import CampaignStore
from optimizer.async_schedule import replayed
from optimizer.build import build
from optimizer.horizon import NOTED, outcomes_told

OPTIMIZE = Path(sys.executable).with_name("optimize")
PATIENCE = 120  # seconds until the test gives up on the process
SLOW = """
import time
at_once = measure

def measure(crystal):
    time.sleep(0.5)
    return at_once(crystal)
"""


def asked(ledger: Path, query: str) -> list:
    try:
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
            return [row[0] for row in connection.execute(query)]
    except sqlite3.OperationalError:  # not made yet
        return []


def test_killed_with_two_workers_and_run_again(optimize, write, tmp_path):
    campaign = probed_campaign(schedule="async", workers=2, budget={"oracle_calls": 8}, pool_size=24)
    campaign["surrogate"] = {"kind": "exact_gp", "kernel": "matern52"}  # not chosen anew by each proposal
    path, folder = write(campaign), tmp_path / "runs" / campaign["name"]
    (tmp_path / "probe.py").write_text((tmp_path / "probe.py").read_text() + SLOW)
    process = subprocess.Popen([OPTIMIZE, "run", path, "-q"], cwd=tmp_path)
    end, ledger = time.monotonic() + PATIENCE, folder / "ledger.sqlite"
    leases = "select candidate_id from leases order by candidate_id"
    while len(asked(ledger, "select candidate_id from outcomes")) < 4 or not asked(ledger, leases):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    in_hand = asked(ledger, leases)
    measured = asked(ledger, "select candidate_id from outcomes")
    assert len(in_hand) <= 2
    assert not set(in_hand) & set(measured)

    (tmp_path / "again.yaml").write_text(path.read_text().replace("workers: 2", "workers: 1"))
    code, out, err = optimize("run", "again.yaml", "--json-lines")
    assert (code, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    assert [e["id"] for e in events if e["event"] == "outcome"][: len(in_hand)] == in_hand
    assert {e["event"] for e in events} - {"phase", "proposed"} == {"started", "outcome", "finished"}
    with CampaignStore.open(folder) as store:
        names = [candidate.id for candidate in store.candidates()]
        assert store.spent().calls == len(store.outcomes()) == 8
        assert store.pending() == []
        parts = build(load_spec(tmp_path / "again.yaml"), tmp_path)
        proposals = [record for record in store.rounds() if record.phase == "propose"]
        assert any(record.figures[NOTED]["pending"] for record in proposals)  # made while others were in hand
        for record in proposals:
            again = replayed(parts, store, record.round)
            assert list(again.candidates) == store.candidates(record.round)
            assert again.figures["pool"] == record.figures["pool"]
        told = outcomes_told(proposals)
        assert len(set(told)) == len(told) <= 8
        assert set(told) <= set(names)

    status = json.loads(optimize("status", "probed", "--json")[1])
    assert (status["state"], status["seconds_left"]) == ("budget spent", 0.0)
    assert status["candidates"] == {"proposed": 8, "evaluated": 8, "pending": 0, "handed_out": 0}
