"""Does the campaign optimise? The bundled quickstart against the same number of samples of the same generator.

    python -m benchmarks.quickstart --seeds 5 --runs-dir runs/quickstart

Both arms begin with the same crystals: the samples arm is the quickstart with its start made as long as its budget.
Every call is counted; known materials, duplicates and crystals outside the space are screened out alike. Resumable:
finished campaigns are read, not run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from pathlib import Path
from typing import Any

from campaigns.records import final_crystal, first_failure, last_values
from campaigns.spec import CampaignSpec, load_spec, parse_spec
from campaigns.store import CampaignStore
from optimizer.cli import campaign_path
from optimizer.export import export_campaign
from optimizer.loop import run_campaign
from optimizer.objective import CampaignObjective
from optimizer.references import ReferenceTable
from optimizer.screening import screen

ARMS = ("latentore", "samples")


def arm_spec(base: CampaignSpec, arm: str, seed: int, calls: int | None) -> CampaignSpec:
    """The quickstart under another seed; as samples, with a start that spends the whole budget."""
    data: dict[str, Any] = base.model_dump(mode="json")
    data |= {"name": f"{arm}-{seed}", "seed": seed}
    if calls is not None:
        data["budget"]["oracle_calls"] = calls
    if arm == "samples":
        data["start"] = [{"kind": "generator_samples", "n": data["budget"]["oracle_calls"]}]
    data["export"]["top"] = 10
    return parse_spec(data)


def curve(store: CampaignStore) -> list[float | None]:
    """Best feasible so far after each evaluated candidate, in the order of proposal."""
    objective = CampaignObjective.from_spec(store.spec)
    outcomes = store.outcomes()
    values = [
        None if first_failure(outcomes[c.id]) else last_values(outcomes[c.id])
        for c in store.candidates()
        if c.id in outcomes
    ]
    return [objective.progress(values[: n + 1]) for n in range(len(values))]


def list_is_sound(store: CampaignStore) -> dict[str, int]:
    """Of the exported top 10: how many, distinct, new, and inside the space after relaxation."""
    references = ReferenceTable.load()
    report = export_campaign(store, novelty=references.novelty)
    crystals = [entry.crystal for entry in report.ranking.entries]
    outcomes = store.outcomes()
    relaxed = [final_crystal(outcomes[e.candidate.id], e.candidate.crystal) for e in report.ranking.entries]
    return {
        "listed": len(crystals),
        "new": sum(entry.novelty.new for entry in report.ranking.entries),
        "inside": sum(screen(crystal, store.spec.space) is None for crystal in relaxed),
    }


def run_one(base: CampaignSpec, arm: str, seed: int, calls: int | None, folder: Path) -> dict[str, Any]:
    spec = arm_spec(base, arm, seed, calls)
    started = time.monotonic()
    run_folder = run_campaign(spec, folder=Path("."), run_folder=folder / spec.name, quiet=True)
    with CampaignStore.open(run_folder) as store:
        best = curve(store)
        spent = store.spent()
        row = {"arm": arm, "seed": seed, "calls": spent.calls, "best": best[-1], **list_is_sound(store)}
        row |= {"failed": sum(spent.stage_failures.values()), "oracle_seconds": round(spent.seconds)}
        row |= {"wall_seconds": round(time.monotonic() - started), "curve": json.dumps(best)}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaign", default="quickstart")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=None, help="the campaign's own budget where absent")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs/quickstart-benchmark"))
    parser.add_argument("--out", type=Path, default=None, help="CSV of the rows")
    arguments = parser.parse_args()
    base = load_spec(campaign_path(arguments.campaign))
    print("command: python -m benchmarks.quickstart", *sys.argv[1:])
    rows = []
    for seed in range(arguments.seeds):
        for arm in ARMS:
            rows.append(run_one(base, arm, seed, arguments.calls, arguments.runs_dir))
            print({k: v for k, v in rows[-1].items() if k != "curve"}, flush=True)
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with arguments.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    best = {(row["arm"], row["seed"]): row["best"] for row in rows}
    seeds = range(arguments.seeds)
    wins = sum((best["latentore", s] or float("-inf")) > (best["samples", s] or float("-inf")) for s in seeds)
    print(f"latentore is above samples in {wins} of {arguments.seeds} seeds at the same number of calls")


if __name__ == "__main__":
    main()
