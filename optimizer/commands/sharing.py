"""The command for other hosts of a shared campaign. Heavy libraries are imported inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optimizer.commands.arguments import Campaign, RunsDir, load


def work(
    campaign: Campaign,
    runs_dir: RunsDir = Path("runs"),
    wait: Annotated[float, typer.Option(min=0, help="Minutes without anything to do after which this ends.")] = 10.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Measure what another host's `optimize run` proposes, for a campaign whose `ledger` is a database.

    As many as you like may do so. Ctrl-C stops it after the candidates in hand; what a killed one had in hand is handed
    out again.
    """
    path, spec = load(campaign)
    from campaigns.records import first_failure, last_values
    from optimizer.working import Candidate, Stages, work_on_campaign

    def tell(candidate: Candidate, stages: Stages) -> None:
        if quiet:
            return
        failed = first_failure(stages)
        said = [f"{name} {value:.4g}" for name, value in last_values(stages).items() if name in spec.objectives]
        words = f"failed, {failed.code.value}" if failed else ", ".join(said)
        print(f"  {candidate.id} {candidate.crystal.composition.reduced_formula}: {words}", flush=True)

    folder = runs_dir / spec.name
    recorded, why = work_on_campaign(spec, folder=path.parent, run_folder=folder, tell=tell, wait_minutes=wait)
    if not quiet:
        print(f"{recorded} candidates measured here; {why}.")
