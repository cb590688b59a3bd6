"""One campaign on several hosts, each in a network namespace of its own where the machine allows that."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from network_namespaces import namespaces
from postgresql_server import database, postgresql
from tiny_campaigns import contents, probed_campaign

from campaigns.store import CampaignStore

PATIENCE = 100  # seconds until the test gives up
OF_HOSTS = """
import time
ASKED = HERE / "by_host"

def measure(crystal):
    host = os.environ.get("HOST_OF_TEST", "")
    with open(ASKED, "a") as file:
        file.write(f"{host} {crystal.volume!r}\\n")
    # until each has one of the first three in hand: a faster one would take the third, and nobody proposes more
    while host == "mortal" or any(each not in ASKED.read_text() for each in ("driver", "mortal", "survivor")):
        time.sleep(0.05)
    return crystal.volume / len(crystal)
"""


def asked(folder: Path) -> list[list[str]]:
    file = folder / "by_host"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def test_hosts_share_a_campaign_and_one_is_killed(optimize, write, tmp_path, namespaces, database, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "hunter2")  # which this server does not ask for
    campaign = probed_campaign("shared", budget={"oracle_calls": 6}, pool_size=24)
    here, names = namespaces or ("127.0.0.1", [""] * 3)
    campaign["ledger"] = database.replace("127.0.0.1", here)
    path = write(campaign)
    (tmp_path / "probe.py").write_text((tmp_path / "probe.py").read_text() + OF_HOSTS)
    ledger = tmp_path / "driver" / "shared" / "ledger.url"
    commands = {"driver": ["run", "--quiet"], "mortal": ["work"], "survivor": ["work"]}
    hosts = [
        {
            "host": host,
            "namespace": namespace,
            "after": None if host == "driver" else str(ledger),
            "arguments": [*command, str(path), "--runs-dir", str(tmp_path / host)],
        }
        for (host, command), namespace in zip(commands.items(), names, strict=True)
    ]
    (tmp_path / "hosts.json").write_text(json.dumps(hosts))
    script = Path(__file__).with_name("hosts.py")
    process = subprocess.Popen(
        [sys.executable, script, "hosts.json"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    pids = json.loads(process.stdout.readline())
    try:
        end = time.monotonic() + PATIENCE
        while {host for host, _ in asked(tmp_path)} != set(commands) and process.poll() is None:
            assert time.monotonic() < end, asked(tmp_path)
            time.sleep(0.05)
        os.kill(pids["mortal"], signal.SIGKILL)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        for pid in (*pids.values(), process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if process.returncode is None:
            process.communicate()
    said = [json.loads(line) for line in out.splitlines() if line.startswith("[")]
    assert {host: how for host, *how in said} == {"driver": [0, 0], "mortal": [9, 0], "survivor": [0, 0]}, err
    assert "candidates measured here; " in out

    with CampaignStore.open(tmp_path / "survivor" / "shared") as store:
        outcomes, candidates = store.outcomes(), store.candidates()
        assert store.spent().calls == len(outcomes) == len(candidates) == 6
        assert (store.leases(), store.driver, store.pending()) == ([], None, [])
        assert sum("takes part" in event.message for event in store.events()) == 2
        volumes = {f"{c.crystal.volume!r}": c.id for c in candidates}
    by_host = {host: [volumes[volume] for name, volume in asked(tmp_path) if name == host] for host in commands}
    (lost,) = by_host["mortal"]
    evaluated = Counter(name for names in by_host.values() for name in names)
    assert evaluated == {**dict.fromkeys(outcomes, 1), lost: 2}  # by who was killed, and by who took it up
    assert by_host["driver"]
    assert by_host["survivor"]

    shown = "shared", "--runs-dir", tmp_path / "survivor"
    status = json.loads(optimize("status", *shown, "--json")[1])
    assert (status["state"], status["budget"]["oracle_calls"], status["in_hand"]) == ("budget spent", 6, [])
    assert optimize("export", *shown)[0] == 0
    assert optimize("report", *shown)[0] == 0
    assert (tmp_path / "survivor" / "shared" / "report.html").stat().st_size > 1e5
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert [each for each in files if b"hunter2" in each.read_bytes()] == []

    # who measured does not matter: the same campaign alone, in a file
    del campaign["ledger"]
    probe = (tmp_path / "probe.py").read_text()
    alone = write({**campaign, "name": "alone"})
    (tmp_path / "probe.py").write_text(probe)
    assert optimize("run", alone, "-q")[0] == 0
    assert contents(tmp_path / "survivor" / "shared") == contents(tmp_path / "runs" / "alone")


__all__ = ["database", "namespaces", "postgresql"]
