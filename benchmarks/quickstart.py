"""The quickstart against its rivals, from the same start with the same number of oracle calls.

    python -m benchmarks.quickstart --seeds 5 --out benchmarks/results/quickstart.csv
    python -m benchmarks.quickstart --arms latentore,frozen --calls 150 --seeds 5

Arms: `latentore` is the campaign as it is, `frozen` the same without refinement of the generator, `samples` measures
samples of the generator and nothing else. Rows: best feasible value so far by call, and of the best 20 how many are new
to the reference table and inside the search space after relaxation. A run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

from campaigns.records import final_crystal, first_failure, last_values
from campaigns.spec import CampaignSpec, load_spec, parse_spec
from campaigns.store import CampaignStore
from optimizer.campaign_files import campaign_path
from optimizer.export import export_campaign
from optimizer.loop import run_campaign
from optimizer.objective import CampaignObjective
from optimizer.references import ReferenceTable
from optimizer.screening import screen
from optimizer.status import hours_spent

ARMS = ("latentore", "frozen", "samples")


def arm_spec(base: CampaignSpec, arm: str, seed: int, calls: int | None, workers: int | None) -> CampaignSpec:
    """The quickstart under another seed; as samples, with a start that spends the whole budget."""
    data: dict[str, Any] = base.model_dump(mode="json")
    data |= {"name": f"{arm}-{seed}", "seed": seed, "workers": workers}
    if calls is not None:
        data["budget"]["oracle_calls"] = calls
    if arm == "samples":
        data["start"] = [{"kind": "generator_samples", "n": data["budget"]["oracle_calls"]}]
    if arm != "latentore":
        data["refine"] = "off"
    data["export"] = {"top": 20, "known": True}
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
    """Of the best 20 (distinct): how many there are, are new, and lie inside the space after relaxation."""
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


def run_one(spec: CampaignSpec, arm: str, folder: Path) -> dict[str, Any]:
    run_folder = run_campaign(spec, folder=Path("."), run_folder=folder / spec.name, quiet=True)
    with CampaignStore.open(run_folder) as store:
        best = curve(store)
        spent = store.spent()
        row = {"arm": arm, "seed": spec.seed, "calls": spent.calls, "best": best[-1], **list_is_sound(store)}
        verdicts = [record.accepted for record in store.generators()[1:]]
        row |= {
            "refinements": len(verdicts),
            "accepted": sum(verdicts),
            "failed": sum(spent.stage_failures.values()),
            "oracle_seconds": round(spent.seconds),
        }
        row |= {"hours": round(hours_spent(store), 3), "curve": json.dumps(best)}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaign", default="quickstart")
    parser.add_argument("--arms", default="latentore,samples", help=f"of {', '.join(ARMS)}; the first against the rest")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=None, help="the campaign's own budget where absent")
    parser.add_argument("--workers", type=int, default=None, help="oracle processes; one per core where absent")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs/quickstart-benchmark"))
    parser.add_argument("--out", type=Path, default=None, help="CSV of the rows")
    arguments = parser.parse_args()
    arms = arguments.arms.split(",")
    if unknown := set(arms) - set(ARMS):
        parser.error(f"unknown arms {', '.join(sorted(unknown))}; choose among {', '.join(ARMS)}")
    base = load_spec(campaign_path(arguments.campaign))
    print("command: python -m benchmarks.quickstart", *sys.argv[1:])
    rows = []
    for seed in range(arguments.seeds):
        for arm in arms:
            spec = arm_spec(base, arm, seed, arguments.calls, arguments.workers)
            rows.append(run_one(spec, arm, arguments.runs_dir))
            print({k: v for k, v in rows[-1].items() if k != "curve"}, flush=True)
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with arguments.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    summarize(rows, arms)


def summarize(rows: list[dict[str, Any]], arms: list[str]) -> None:
    """Medians over seeds, and how often the first arm is above each other one at the same number of calls."""
    best = {arm: [row["best"] or float("-inf") for row in rows if row["arm"] == arm] for arm in arms}
    for arm in arms:
        mine = [row for row in rows if row["arm"] == arm]
        new = sum(row["new"] for row in mine) / max(1, sum(row["listed"] for row in mine))
        print(f"{arm}: median best {median(best[arm]):.1f}, {new:.0%} of the best 20 new, over {len(mine)} seeds")
    for rival in arms[1:]:
        wins = sum(ours > theirs for ours, theirs in zip(best[arms[0]], best[rival], strict=True))
        print(f"{arms[0]} is above {rival} in {wins} of {len(best[rival])} seeds at the same number of calls")


if __name__ == "__main__":
    main()
