"""Workers' idle share under `schedule: rounds` and `schedule: async`, with an oracle whose seconds vary.

    python -m benchmarks.schedules --calls 64 --workers 2 --seconds 10 --spread 0.8 --seeds 2 --folder schedules
    python -m benchmarks.schedules --calls 64 --workers 2 --seconds 2 --spread 0.8 --seeds 2 --folder schedules_quick

The oracle sleeps: log-normal seconds of that median and that standard deviation of the logarithm, drawn from crystal
and seed, so that it takes no core from the search. Everything else is a campaign as it is: surrogate, pool, batches of
8. `idle` is the share of the workers' time that was not spent in the oracle, from the first candidate that any of them
began until the last outcome; `idle_searching` from the last candidate of the start to the last of all, when each was
begun: a free worker has nothing to do when no call is left. One row a campaign, with the seconds on the clock, those of
a proposal, candidates a proposal, and the best. A run that was cut off goes on, and its pause counts as idle.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import sys
from pathlib import Path
from statistics import mean
from typing import Any

from campaigns.places import LEDGER
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from campaigns.timings import read_timings
from optimizer.loop import run_campaign
from optimizer.status import campaign_status

SCHEDULES = ("rounds", "async")
ORACLE = """
import hashlib, os, random, time
from pathlib import Path

def measure(crystal):
    \"\"\"Density in g/cm3, after a nap.\"\"\"
    began = time.time()
    name = f"{SEED} {crystal.composition.reduced_formula} {crystal.volume:.6f}"
    draw = random.Random(hashlib.sha256(name.encode()).hexdigest())
    time.sleep(draw.lognormvariate(LOG_SECONDS, SPREAD))
    with open(Path(__file__).parent / "naps", "a") as file:
        file.write(f"{os.getpid()} {began} {time.time()}\\n")
    return float(crystal.density)
"""


def campaign(schedule: str, seed: int, calls: int, workers: int, seconds: float) -> dict[str, Any]:
    oracle = {"kind": "python", "function": "nap.py:measure", "properties": {"own_density": "g/cm3"}}
    return {
        "name": f"{schedule}-{seed}",
        "seed": seed,
        "workers": workers,
        "device": "cpu",
        "space": {"n_elements": [2, 3], "n_atoms": [2, 8]},
        "oracles": [oracle | {"seconds": seconds}],
        "objectives": {"own_density": {"target": 6.0}},
        "schedule": schedule,
        "budget": {"oracle_calls": calls},
    }


def idle_share(naps: list[tuple[float, float]], workers: int, since: float, until: float) -> float:
    """Share of the workers' time between two moments that no nap fills."""
    filled = sum(max(0.0, min(end, until) - max(begin, since)) for begin, end in naps)
    return 1 - filled / (workers * (until - since))


def run_one(arguments: argparse.Namespace, schedule: str, seed: int) -> dict[str, Any]:
    spec = parse_spec(campaign(schedule, seed, arguments.calls, arguments.workers, arguments.seconds))
    folder = arguments.folder / spec.name
    folder.mkdir(parents=True, exist_ok=True)
    settings = f"import math\nSEED, LOG_SECONDS, SPREAD = {seed}, math.log({arguments.seconds}), {arguments.spread}\n"
    (folder / "nap.py").write_text(settings + ORACLE)
    run_folder = run_campaign(spec, folder=folder, run_folder=folder / "run", quiet=True)
    lines = [line.split() for line in (folder / "naps").read_text().splitlines()]
    naps = sorted((float(begin), float(end)) for _, begin, end in lines)
    with CampaignStore.open(run_folder) as store:
        started, asked = (
            len(store.candidates(0)),
            [len(store.candidates(r.round)) for r in store.rounds() if r.phase == "propose"],
        )
        best = (campaign_status(store)["best"] or {"values": {}})["values"]
    first, last, searching = naps[0][0], max(end for _, end in naps), naps[started - 1][0]
    return {
        "schedule": schedule,
        "seed": seed,
        "calls": len(naps),
        "wall_s": round(last - first, 1),
        "oracle_s": round(sum(end - begin for begin, end in naps), 1),
        "idle": round(idle_share(naps, arguments.workers, first, last), 4),
        "idle_searching": round(idle_share(naps, arguments.workers, searching, naps[-1][0]), 4),
        "proposal_s": round(mean(read_timings(run_folder / LEDGER).proposals), 2),
        "candidates_a_proposal": round(mean(asked), 2),
        "best": json.dumps(best),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0, help="median of the oracle")
    parser.add_argument("--spread", type=float, default=0.8, help="standard deviation of the logarithm of its seconds")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("schedules"))
    arguments = parser.parse_args()
    print("python -m benchmarks.schedules", shlex.join(sys.argv[1:]))
    print(f"seeds 0 to {arguments.seeds - 1}, {arguments.calls} calls each, {arguments.workers} workers")
    rows = [run_one(arguments, schedule, seed) for seed in range(arguments.seeds) for schedule in SCHEDULES]
    writer = csv.DictWriter(sys.stdout, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    for schedule in SCHEDULES:
        own = [row for row in rows if row["schedule"] == schedule]
        idle, searching, wall = (mean(row[key] for row in own) for key in ("idle", "idle_searching", "wall_s"))
        print(f"{schedule}: idle {idle:.1%}, while searching {searching:.1%}, {wall:.0f} s")


if __name__ == "__main__":
    main()
