"""Workers that die, hang, raise, answer nonsense and run out of memory: the campaign ends and its account is right."""

from __future__ import annotations

import json

import pytest
from tiny_campaigns import contents, emt_campaign

from campaigns.records import FailureCode, first_failure
from campaigns.store import CampaignStore

FATES = ("kill_the_worker_once", "hang", "die", "raise", "nan", "exhaust")
UNRULY = """
import json, os, signal, time
import numpy
from pathlib import Path

HERE = Path(__file__).parent
FATES = json.loads((HERE / "fates.json").read_text())

def name_of(crystal):
    return f"{crystal.formula} {crystal.volume:.6f}"

def fate_of(crystal):
    "The first crystals to be asked about get one each, and keep it."
    me = name_of(crystal)
    for fate in FATES:
        try:
            handle = os.open(HERE / fate, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            if (HERE / fate).read_text() == me:
                return fate
        else:
            os.write(handle, me.encode())
            os.close(handle)
            return fate
    return None

def measure(crystal):
    fate = fate_of(crystal)
    with open(HERE / "asked", "a") as file:
        file.write(f"{fate}\\n")
    if fate == "kill_the_worker_once" and not (HERE / "killed").exists():
        (HERE / "killed").touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    if fate == "hang":
        time.sleep(1000)
    if fate == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "raise":
        raise ArithmeticError("no such orbital")
    if fate == "exhaust":
        held = [numpy.empty(1 << 33, "u1") for _ in range(9)]  # addresses, which are limited; no page is touched
    return float("nan") if fate == "nan" else round(crystal.volume / len(crystal), 4)
"""
ENDS = {
    "kill_the_worker_once": None,
    "hang": (FailureCode.TIMED_OUT, "not done after 2 s, 2 times"),
    "die": (FailureCode.WORKER_DIED, "SIGKILL, 2 times"),
    "raise": (FailureCode.ORACLE_ERROR, "no such orbital"),
    "nan": (FailureCode.INVALID_VALUE, "nan"),
    "exhaust": (FailureCode.ORACLE_ERROR, "Unable to allocate"),
}
ASKED = {"kill_the_worker_once": 2, "hang": 2, "die": 2, "raise": 1, "nan": 1, "exhaust": 1}


@pytest.mark.slow
def test_two_dask_workers_and_everything_that_goes_wrong(optimize, write, tmp_path):
    (tmp_path / "unruly.py").write_text(UNRULY)
    (tmp_path / "fates.json").write_text(json.dumps(FATES))
    oracle = {"kind": "python", "function": "unruly.py:measure", "properties": {"bulk_ang3_atom": "angstrom^3/atom"}}
    campaign = emt_campaign(
        "unruly",
        workers=2,
        executor={"kind": "dask", "task_seconds": 2, "attempts": 2, "memory_gib": 64},
        start=[{"kind": "generator_samples", "n": 8}],
        oracles=[oracle],
        objectives={"bulk_ang3_atom": "minimize"},
        pool_size=24,
        batch_size=2,
        budget={"oracle_calls": 10},
    )
    code, out, err = optimize("run", write(campaign))
    assert (code, err) == (0, "")
    assert "10 of 10 calls of python" in out

    with CampaignStore.open(tmp_path / "runs" / "unruly") as store:
        candidates, outcomes = store.candidates(), store.outcomes()
        assert (store.spent().calls, store.leases(), store.pending()) == (10, [], [])
    assert len(candidates) == len(outcomes) == 10
    owner = {(tmp_path / fate).read_text(): fate for fate in FATES}
    seen = {}
    for candidate in candidates:
        stages = outcomes[candidate.id]
        assert len(stages) == 1
        if fate := owner.get(f"{candidate.crystal.formula} {candidate.crystal.volume:.6f}"):
            seen[fate] = first_failure(stages)
        else:
            assert first_failure(stages) is None
    assert set(seen) == set(FATES)
    for fate, failed in seen.items():
        if ENDS[fate] is None:
            assert failed is None
        else:
            assert failed.code is ENDS[fate][0]
            assert ENDS[fate][1] in failed.message
    asked = (tmp_path / "asked").read_text().split()
    assert {fate: asked.count(fate) for fate in FATES} == ASKED
    assert asked.count("None") == 4


def test_dask_proposes_and_measures_what_local_does(optimize, write, tmp_path):
    """An interrupted campaign that goes on elsewhere ends with the same ledger."""
    (tmp_path / "inside.py").write_text("def measure(crystal):\n    return crystal.volume / len(crystal)\n")
    oracle = {"kind": "python", "function": "inside.py:measure", "properties": {"bulk_ang3_atom": "angstrom^3/atom"}}
    wanted = {"oracles": [oracle], "objectives": {"bulk_ang3_atom": "minimize"}, "pool_size": 24}
    small = {"start": [{"kind": "generator_samples", "n": 2}], "batch_size": 2, "budget": {"oracle_calls": 4}}
    campaign = emt_campaign("moved", **wanted, **small)
    assert optimize("run", write(campaign), "--runs-dir", "local", "-q")[0] == 0
    assert optimize("run", write(campaign | {"budget": {"oracle_calls": 2}}), "-q")[0] == 0
    assert optimize("run", write(campaign | {"executor": {"kind": "dask"}, "workers": 2}), "-q")[0] == 0
    assert contents(tmp_path / "runs" / "moved") == contents(tmp_path / "local" / "moved")
