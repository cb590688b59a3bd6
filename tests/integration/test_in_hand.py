"""`status` tells what is being evaluated, by whom and since when, and forgets it with the process."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from tiny_campaigns import contents, probed_campaign

OPTIMIZE = Path(sys.executable).with_name("optimize")
PATIENCE = 120
WAITS = """
def wait_and_measure(crystal):
    import time
    while not (HERE / "go").exists():
        time.sleep(0.02)
    return crystal.volume / len(crystal)
"""


PAUSES = """
def measure_four_and_wait(crystal):
    import time
    with open(HERE / "asked", "a") as file:
        file.write("x")
    while len((HERE / "asked").read_text()) > 4 and not (HERE / "go").exists():
        time.sleep(0.02)
    return crystal.volume / len(crystal)
"""


def leased(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        return ledger.execute("SELECT count(*) FROM leases").fetchone()[0]


def test_status_tells_what_is_in_hand(optimize, write, tmp_path):
    campaign = probed_campaign(workers=2, budget={"oracle_calls": 4})
    campaign["oracles"][0]["function"] = "probe.py:wait_and_measure"
    path, folder = write(campaign), tmp_path / "runs" / campaign["name"]
    (tmp_path / "probe.py").write_text((tmp_path / "probe.py").read_text() + WAITS)
    process = subprocess.Popen([OPTIMIZE, "run", path], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + PATIENCE
        while not (folder / "ledger.sqlite").is_file() or leased(folder) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.1)
        found = json.loads(optimize("status", "probed", "--json")[1])
        assert found["state"] == "running"
        assert [each["id"] for each in found["in_hand"]] == ["000-0000", "000-0001"]  # of three; two workers
        assert {each["pid"] for each in found["in_hand"]} == {process.pid}
        assert all(each["since"] <= each["heartbeat_at"] for each in found["in_hand"])
        out = optimize("status", "probed")[1]
        assert out.count("in hand") == 2
        assert f"{found['in_hand'][0]['formula']} (000-0000) by process {process.pid} on" in out
    finally:
        process.kill()
        process.communicate()

    assert leased(folder) == 2  # nobody was left to take them back
    found = json.loads(optimize("status", "probed", "--json")[1])
    assert (found["state"], found["in_hand"]) == ("stopped; `optimize run` goes on", [])
    assert "in hand" not in optimize("status", "probed")[1]

    (tmp_path / "go").touch()
    code, out, _ = optimize("run", path)
    assert code == 0
    assert "4 of 4 calls of python" in out
    assert leased(folder) == 0


def test_status_export_and_report_work_beside_a_run_and_leave_it_alone(optimize, write, tmp_path):
    campaign = probed_campaign(budget={"oracle_calls": 6})
    campaign["oracles"][0]["function"] = "probe.py:measure_four_and_wait"
    path, folder = write(campaign), tmp_path / "runs" / campaign["name"]
    (tmp_path / "probe.py").write_text((tmp_path / "probe.py").read_text() + PAUSES)
    process = subprocess.Popen([OPTIMIZE, "run", path, "-q"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + PATIENCE
        while not (tmp_path / "asked").is_file() or len((tmp_path / "asked").read_text()) < 5:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.1)
        found = json.loads(optimize("status", "probed", "--json")[1])
        assert (found["state"], found["budget"]["oracle_calls"]) == ("running", 4)
        code, out, _ = optimize("export", "probed", "--json")
        assert code == 0
        assert len(json.loads(out)["candidates"]) == 4
        assert optimize("report", "probed")[0] == 0
        assert (folder / "report.html").is_file()
        code, _, err = optimize("run", path, "-q")
        assert code == 2
        assert f"process {process.pid} on" in err
    finally:
        (tmp_path / "go").touch()
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    beside = contents(folder)
    assert optimize("run", path, "-q", "--runs-dir", "alone")[0] == 0
    assert contents(tmp_path / "alone" / "probed") == beside
