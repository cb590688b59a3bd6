"""A campaign as long as a week's, with an oracle that takes no time: memory, time per round, size of the ledger.

    python -m benchmarks.week --calls 10000 --folder week
    python -m benchmarks.week --calls 10000 --folder week --session 2000   # in pieces: run it again to go on

Random choice from a small pool and a surrogate that knows nothing (its own growth is measured elsewhere), so that what
grows with the calls is what the campaign itself keeps and reads. Every thousand calls (`--every`): resident memory of
this process, the mean seconds of a round since the last line, of a `status` (in a process of its own, as from another
terminal), the ledger's megabytes; at the end the
seconds of an export, and of the report its size and the seconds until Chromium shows it. Bars: memory within 10 % after
the first thousand; a round of the last thousand at most twice as long as one of the second; a report open in 3 s.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from campaigns.errors import CampaignInterrupted
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from optimizer.export import export_campaign
from optimizer.known import known_to
from optimizer.loop import run_campaign
from optimizer.report.page import write_report
from surrogates.models import exact_gp
from surrogates.protocols import NO_HINTS, FitHints

NAME = "week"
STATUS = """
import sys, time
from pathlib import Path
from campaigns.store import CampaignStore
from optimizer.status import campaign_status
started = time.monotonic()
with CampaignStore.open(Path(sys.argv[1])) as store:
    campaign_status(store)
print(time.monotonic() - started)
"""


@dataclass(frozen=True)
class Ignorance:
    """A surrogate and what is fitted of it: mean 0, variance 1."""

    outcomes: int

    def fit(
        self, z: Tensor, y: Tensor, *, observed: Tensor, noise: Tensor | None = None, hints: FitHints = NO_HINTS
    ) -> Ignorance:
        return self

    @property
    def report(self) -> SimpleNamespace:
        return SimpleNamespace(outcomes={})

    @property
    def model(self) -> Ignorance:
        return self

    def posterior(self, z: Tensor, observation_noise: bool = False) -> SimpleNamespace:
        shape = (len(z), self.outcomes)
        return SimpleNamespace(mean=torch.zeros(shape), variance=torch.ones(shape))


def campaign(calls: int, batch: int) -> dict[str, Any]:
    return {
        "name": NAME,
        "seed": 1,
        "workers": 1,
        "start": [{"kind": "generator_samples", "n": batch}],
        "oracles": ["volume", "density"],
        "objectives": {"density_g_cm3": "maximize"},
        "acquisition": "random",
        "descriptors": False,
        "batch_size": batch,
        "pool_size": max(3 * batch, 32),
        "budget": {"oracle_calls": calls},
    }


def resident_mb() -> float:
    """Of this process, by proc(5)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def line(run: Path, rounds_before: int, seconds: float) -> dict[str, Any]:
    with CampaignStore.open(run) as store:
        calls, rounds = store.spent().calls, len(store.rounds())
    status = subprocess.run([sys.executable, "-c", STATUS, str(run)], capture_output=True, text=True, check=True)
    done = max(1, (rounds - rounds_before) // 2)
    return {
        "calls": calls,
        "phases": rounds,
        "resident_mb": round(resident_mb(), 1),
        "seconds_per_round": round(seconds / done, 3),
        "status_seconds": round(float(status.stdout), 3),
        "ledger_mb": round(sum(each.stat().st_size for each in run.glob("ledger.sqlite*")) / 1e6, 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.week", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--session", type=int, help="Stop after so many calls of this session; all where absent.")
    parser.add_argument("--every", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    print("command: python -m benchmarks.week", *sys.argv[1:], "(seed 1)")
    vars(exact_gp)["build"] = lambda params, context: Ignorance(len(context.outcomes))
    run, lines = given.folder / NAME, given.folder / "week.jsonl"
    given.folder.mkdir(parents=True, exist_ok=True)
    begun = spent(run)
    last = min(given.calls, begun + given.session) if given.session else given.calls
    for target in range((begun // given.every + 1) * given.every, last + given.every, given.every):
        before, started = phases(run), time.monotonic()
        wanted = parse_spec(campaign(min(target, last), given.batch))
        try:
            run_campaign(wanted, folder=given.folder, run_folder=run, quiet=True)
        except CampaignInterrupted as stopped:
            print(stopped)
            return 3
        found = line(run, before, time.monotonic() - started)
        print(json.dumps(found), flush=True)
        with lines.open("a") as file:
            print(json.dumps(found), file=file)
        if found["calls"] >= last:
            break
    if last == given.calls:
        return finish(run, lines)
    print("run it again to go on")
    return 0


def spent(run: Path) -> int:
    if not (run / "ledger.sqlite").is_file():
        return 0
    with CampaignStore.open(run) as store:
        return store.spent().calls


def phases(run: Path) -> int:
    if not (run / "ledger.sqlite").is_file():
        return 0
    with CampaignStore.open(run) as store:
        return len(store.rounds())


def opened(page: Path) -> str:
    """How long the report takes to open in a headless Chromium."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        return "not opened: no playwright"
    with sync_playwright() as driver:
        chromium = shutil.which("chromium") or driver.chromium.executable_path
        try:
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        except Error as error:
            return f"not opened: {str(error).splitlines()[0]}"
        tab = browser.new_page()
        started = time.monotonic()
        tab.goto(page.resolve().as_uri(), wait_until="load")
        tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        seconds = time.monotonic() - started
        browser.close()
    return f"opens in {seconds:.1f} s"


def finish(run: Path, lines: Path) -> int:
    """The export, and what became of the bars."""
    started = time.monotonic()
    with CampaignStore.open(run) as store:
        export_campaign(store, novelty=known_to(store).novelty)
        print(f"export: {time.monotonic() - started:.1f} s")
        started = time.monotonic()
        page = write_report(store, novelty=known_to(store).novelty)
    made = time.monotonic() - started
    print(f"report: {page.stat().st_size / 1e6:.2f} MB, made in {made:.1f} s, {opened(page)}")
    rows = [json.loads(each) for each in lines.read_text().splitlines()]
    if len(rows) < 3:
        return 0
    memory = rows[-1]["resident_mb"] / rows[0]["resident_mb"]
    pace = rows[-1]["seconds_per_round"] / rows[1]["seconds_per_round"]
    print(f"memory, last to first thousand: {memory:.2f}; seconds of a round, last to second thousand: {pace:.2f}")
    return int(memory > 1.1 or pace > 2)


if __name__ == "__main__":
    sys.exit(main())
