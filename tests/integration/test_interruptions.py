"""Killed, interrupted, crashed, given more: a campaign goes on and ends with the ledger of an undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from tiny_campaigns import EMT, contents, emt_campaign, probed_campaign

from campaigns.records import FailureCode, first_failure
from campaigns.store import CampaignStore

OPTIMIZE = Path(sys.executable).with_name("optimize")
PATIENCE = 120  # seconds until a test gives up on a process


def outcomes_so_far(folder: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{folder / 'ledger.sqlite'}?mode=ro", uri=True)) as ledger:
            return ledger.execute("select count(distinct candidate_id) from outcomes").fetchone()[0]
    except sqlite3.OperationalError:  # not made yet
        return 0


def wait_until(what, process: subprocess.Popen | None = None) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)


def gone(pid: int) -> bool:
    """No such process, or one that only waits to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def alone(tmp_path):
    """`optimize` in a process of its own, whose signals nothing else in this one can catch or lose."""

    def call(*arguments: object) -> tuple[int, str, str]:
        command = [OPTIMIZE, *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
        return done.returncode, done.stdout, done.stderr

    return call


@pytest.fixture
def undisturbed(optimize, write, tmp_path):
    """The ledger of the same campaign run to its end without a break."""

    def run(campaign: dict) -> dict:
        assert optimize("run", write(campaign), "--runs-dir", "undisturbed", "-q")[0] == 0
        return contents(tmp_path / "undisturbed" / campaign["name"])

    return run


def test_killed_with_workers_then_resumed(optimize, write, undisturbed, tmp_path):
    relax = {"kind": "relax", "calculator": EMT}
    campaign = probed_campaign(oracles=[relax, *probed_campaign()["oracles"]], workers=2)
    path, folder = write(campaign), tmp_path / "runs" / campaign["name"]
    process = subprocess.Popen([OPTIMIZE, "run", path], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: outcomes_so_far(folder) >= 1, process)
    process.kill()
    process.communicate()
    assert outcomes_so_far(folder) < 8
    workers = {int(pid) for pid in (tmp_path / "asked").read_text().split()}
    assert process.pid not in workers
    wait_until(lambda: all(gone(pid) for pid in workers))

    assert optimize("run", path, "-q")[0] == 0
    assert contents(folder) == undisturbed(campaign | {"workers": 1})


def test_ctrl_c_in_a_terminal_finishes_what_is_in_hand(optimize, write, undisturbed, tmp_path):
    campaign = probed_campaign(workers=2)
    path, folder = write(campaign), tmp_path / "runs" / campaign["name"]
    process = subprocess.Popen(
        [OPTIMIZE, "run", path],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until((tmp_path / "asked").exists, process)  # once an outcome is seen, the rest may be over, too
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the workers too
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3, err
    assert "Run the same command again to go on." in err
    assert len(err.splitlines()) == 1
    assert "of 8 calls of python" in out
    with CampaignStore.open(folder) as store:
        assert all(first_failure(stages) is None for stages in store.outcomes().values())
        assert store.driver is None

    assert optimize("run", path, "-q")[0] == 0
    assert contents(folder) == undisturbed(campaign | {"workers": 1})


@pytest.mark.parametrize(
    ("signals", "kept", "said"), [("SIGINT", 5, "interrupted in round 1"), ("SIGINT SIGINT", 4, "stopped at once")]
)
def test_interrupts_by_their_number(alone, optimize, write, undisturbed, tmp_path, signals, kept, said):
    """The first lets the candidate in hand finish, the second does not."""
    campaign = probed_campaign()
    path = write(campaign)
    (tmp_path / "todo").write_text(f"5 {signals}")
    code, out, err = alone("run", path)
    assert code == 3, out + err
    assert said in err
    assert outcomes_so_far(tmp_path / "runs" / "probed") == kept
    assert f"{kept} evaluated" in out
    assert (tmp_path / "runs" / "probed" / "export" / "ranking.csv").is_file()

    assert optimize("run", path, "-q")[0] == 0
    assert contents(tmp_path / "runs" / "probed") == undisturbed(campaign)


def test_rules_and_budgets_of_single_oracles_decide_alike_after_an_interruption(
    alone, optimize, write, undisturbed, tmp_path
):
    """A quarter of what was measured goes on to the density, five at most, whatever order the workers end in."""
    density = {"kind": "density", "only_if": {"bulk_ang3_atom": {"lowest": 0.25}}, "max_calls": 5}
    campaign = probed_campaign(
        oracles=[*probed_campaign()["oracles"], density],
        objectives={"bulk_ang3_atom": "minimize"},
        constraints={"energy_ev_atom": {"max": 9}},
    )
    campaign["oracles"].insert(0, {"kind": "relax", "calculator": EMT})
    path = write(campaign)
    (tmp_path / "todo").write_text("5 SIGINT")
    assert alone("run", path, "-q")[0] == 3
    assert optimize("run", path, "-q")[0] == 0
    found = contents(tmp_path / "runs" / "probed")
    assert found == undisturbed(campaign | {"workers": 2})
    last = [stages[-1] for stages in found["outcomes"].values()]
    assert [stage for stage, _, _ in last].count("density") <= 5
    assert {said for stage, _, said in last if stage == "before density"} >= {"stopped_by_rule"}
    assert list((tmp_path / "runs" / "probed" / "cache").glob("*.json"))

    code, out, _ = optimize("export", "probed", "--json")
    assert code == 0
    assert len(json.loads(out)["candidates"]) + found_failures(found) >= 8  # who was kept out is ranked as measured


def found_failures(found: dict) -> int:
    """Candidates that failed, or are outside the space."""
    return sum(stages[-1][0] not in ("density", "before density") for stages in found["outcomes"].values())


def test_a_crystal_that_kills_its_worker_fails_alone(optimize, write, tmp_path):
    """The second crystal asked kills every worker; those in hand beside it are measured all the same."""
    campaign = probed_campaign(workers=2, budget={"oracle_calls": 3})
    killer = (
        "\ndef kill_one(crystal):\n"
        "    first = HERE / 'victim'\n"
        "    if not first.exists():\n"
        "        first.write_text(crystal.formula)\n"
        "    if crystal.formula == first.read_text():\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return crystal.volume / len(crystal)\n"
    )
    campaign["oracles"][0]["function"] = "probe.py:kill_one"
    path = write(campaign)
    (tmp_path / "probe.py").write_text((tmp_path / "probe.py").read_text() + killer)
    assert optimize("run", path, "-q")[0] == 0
    with CampaignStore.open(tmp_path / "runs" / "probed") as store:
        failed = {name: first_failure(stages) for name, stages in store.outcomes().items()}
        victim = (tmp_path / "victim").read_text()
        died = [c.crystal.formula for c in store.candidates() if failed[c.id] is not None]
        assert died == [victim]
        assert [f.code for f in failed.values() if f] == [FailureCode.WORKER_DIED]
        assert store.spent().calls == 3  # the failure is charged


def test_a_larger_budget_goes_on(optimize, write, undisturbed, tmp_path):
    small = emt_campaign(budget={"oracle_calls": 6})
    large = emt_campaign(budget={"oracle_calls": 9})
    assert optimize("run", write(small), "-q")[0] == 0
    code, out, _ = optimize("run", write(large))
    assert code == 0
    assert "9 of 9 calls of relax" in out
    assert contents(tmp_path / "runs" / "emt") == undisturbed(large)  # batches of 3 fit both budgets


def test_a_smaller_budget_leaves_the_rest_waiting(alone, optimize, write, undisturbed, tmp_path):
    campaign = probed_campaign(start=[{"kind": "generator_samples", "n": 6}])
    (tmp_path / "todo").write_text("3 SIGINT")
    assert alone("run", write(campaign), "-q")[0] == 3
    assert optimize("run", write(campaign | {"budget": {"oracle_calls": 4}}), "-q")[0] == 0
    assert outcomes_so_far(tmp_path / "runs" / "probed") == 4
    assert optimize("run", write(campaign), "-q")[0] == 0
    assert contents(tmp_path / "runs" / "probed") == undisturbed(campaign)


def test_hours_end_a_campaign_and_more_hours_go_on(optimize, write, undisturbed, tmp_path):
    campaign = probed_campaign()
    hasty = campaign | {"budget": {"oracle_calls": 8, "hours": 1e-6}}
    code, out, _ = optimize("run", write(hasty))
    assert code == 0
    assert "the hours of the budget are spent" in out
    assert outcomes_so_far(tmp_path / "runs" / "probed") < 8
    assert optimize("run", write(campaign), "-q")[0] == 0
    assert contents(tmp_path / "runs" / "probed") == undisturbed(campaign)


def test_one_driver_at_a_time(optimize, write, tmp_path):
    path = write(emt_campaign(budget={"oracle_calls": 3}))
    assert optimize("run", path, "-q")[0] == 0
    with CampaignStore.open(tmp_path / "runs" / "emt") as store, store.lock():
        code, _, err = optimize("run", path, "-q")
    assert code == 2
    assert "drives this campaign" in err
