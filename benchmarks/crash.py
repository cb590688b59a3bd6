"""Campaigns killed with SIGKILL at random moments: what the resumed ledger holds beside an undisturbed one's.

    python -m benchmarks.crash --kills 100 --seed 1

Three campaigns on EMT: one process with the generator retrained every round, two worker processes, two workers of
dask. Each is run undisturbed, then again and again: a child is killed at a moment drawn from an exponential
distribution after it holds the ledger (one in ten before that), and the next child goes on; where one ends, the ledger
is compared and the campaign begins anew. Bars: every ledger equal, no outcome of a killed child lost, no process left
over. Exit code 1 otherwise.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch._dynamo  # an optimiser asks for it: once here, not in every child

from optimizer import cli, export, loop  # noqa: F401  loaded before the first fork

INTEGRATION = Path(__file__).parents[1] / "tests" / "integration"
ORPHANS_END_S = 30.0
CAMPAIGNS: dict[str, dict[str, Any]] = {
    "refined": {"generator": {"kind": "wyckoff_vae", "refine_steps": 4}, "refine": {"every": 1}, "pool_size": 32},
    "processes": {"workers": 2},
    "dask": {"workers": 2, "executor": {"kind": "dask"}},
}


def beside(name: str) -> ModuleType:
    """A module of the integration tests."""
    spec = importlib.util.spec_from_file_location(name, INTEGRATION / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Tally:
    """What became of the kills of one campaign."""

    kills: int = 0
    phases: Counter[str] = field(default_factory=Counter)  # the last finished one when it was killed
    finished: int = 0
    different: int = 0
    lost: int = 0
    left_over: int = 0


def born(folder: Path, path: Path, runs: str) -> int:
    """A child that runs the campaign, in a session of its own; forking spares it the imports."""
    if child := os.fork():
        return child
    try:
        os.setsid()
        os.chdir(folder)
        with open(folder / "children.log", "a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        beside("mortal").cut_short()
        beside("mortal").live(None, ["run", str(path), "--runs-dir", runs, "-q"])
    finally:
        os._exit(70)


def outcomes(ledger: Path) -> set[str]:
    return {row[0] for row in _rows(ledger, "select distinct candidate_id from outcomes")}


def last_phase(ledger: Path) -> str:
    return "".join(str(row[0]) for row in _rows(ledger, "select phase from rounds order by seq desc limit 1")) or "none"


def _holder(ledger: Path) -> int | None:
    found = [json.loads(row[0]) for row in _rows(ledger, "select value from meta where key = 'lock'")]
    return found[0]["pid"] if found and found[0] else None


def _rows(ledger: Path, query: str) -> list[tuple[Any, ...]]:
    try:
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=60)) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.OperationalError:  # not made yet
        return []


def ended(child: int) -> int | None:
    """Its exit code, negative for a signal; None while it runs."""
    pid, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def let_live(child: int, ledger: Path, seconds: float, *, at_once: bool) -> int | None:
    """Wait until it holds the ledger, then so long; its exit code where it ends before."""
    while not at_once and _holder(ledger) != child:
        if (code := ended(child)) is not None:
            return code
        time.sleep(0.01)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (code := ended(child)) is not None:
            return code
        time.sleep(0.005)
    return None


def of_session(session: int) -> list[int]:
    """Processes of a child's session that live."""
    found = []
    for each in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            fields = (each / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(each.name))
    return found


def orphans(session: int) -> int:
    """Workers that have not noticed after ORPHANS_END_S that their driver is gone."""
    end = time.monotonic() + ORPHANS_END_S
    while (left := of_session(session)) and time.monotonic() < end:
        time.sleep(0.1)
    return len(left)


def torment(
    path: Path, folder: Path, name: str, kills: int, rng: random.Random, mean_s: float | None, wanted: Any
) -> Tally:
    """So many kills of one campaign, whose undisturbed ledger holds `wanted`."""
    contents: Callable[[Path], Any] = beside("tiny_campaigns").contents
    ledger, tally = folder / "killed" / name / "ledger.sqlite", Tally()
    while tally.kills < kills or ledger.exists():
        child = born(folder, path, "killed")
        if tally.kills < kills:
            delay, before = rng.expovariate(1 / (mean_s or 1.0)), rng.random() < 0.1
            code = let_live(child, ledger, delay / 5 if before else delay, at_once=before)
        else:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code is None:
            tally.phases[last_phase(ledger)] += 1
            known = outcomes(ledger)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            tally.kills += 1
            tally.lost += len(known - outcomes(ledger))
            tally.left_over += orphans(child)
        elif code == 0:
            tally.finished += 1
            tally.different += contents(ledger.parent) != wanted
            shutil.rmtree(ledger.parent)
        else:
            raise SystemExit(f"{name}: a child ended with {code}:\n{(folder / 'children.log').read_text()[-2000:]}")
    return tally


def run(names: list[str], kills: int, seed: int, folder: Path) -> dict[str, Tally]:
    """The kills shared out over the campaigns."""
    rng, found = random.Random(seed), {}
    tiny = beside("tiny_campaigns")
    for place, name in enumerate(names):
        campaign = tiny.emt_campaign(name, **CAMPAIGNS[name])
        path = folder / f"{name}.yaml"
        path.write_text(json.dumps(campaign))
        started = time.monotonic()
        child = born(folder, path, "undisturbed")
        if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            raise SystemExit(f"{name} ended with {code}:\n{(folder / 'children.log').read_text()[-2000:]}")
        seconds = time.monotonic() - started
        wanted = tiny.contents(folder / "undisturbed" / name)
        share = kills // len(names) + (place < kills % len(names))
        found[name] = torment(path, folder, name, share, rng, seconds / 5, wanted)
        _say(name, found[name], time.monotonic() - started)
    return found


def _say(name: str, tally: Tally, seconds: float) -> None:
    phases = ", ".join(f"{phase} {n}" for phase, n in tally.phases.most_common())
    print(
        f"{name}: {tally.kills} kills ({phases} finished last), {tally.finished} ledgers, {tally.different} different, "
        f"{tally.lost} outcomes lost, {tally.left_over} processes left over; {seconds:.0f} s",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--campaign", choices=list(CAMPAIGNS), action="append", help="This one alone; may be repeated.")
    given = parser.parse_args()
    print("command: python -m benchmarks.crash", *sys.argv[1:], f"(seed {given.seed})")
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="latentore-crash-"))
    try:
        found = run(given.campaign or list(CAMPAIGNS), given.kills, given.seed, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    kills, ledgers = sum(t.kills for t in found.values()), sum(t.finished for t in found.values())
    bad = sum(t.different + t.lost + t.left_over for t in found.values())
    print(f"{kills} kills, {ledgers} ledgers: {'all equal, nothing lost or left over' if not bad else 'NOT equal'}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
