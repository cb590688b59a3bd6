"""Commands that hand candidates out and take values back. Heavy libraries are imported inside them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from campaigns.errors import UserError
from optimizer.commands.arguments import Campaign, Json, RunsDir, TakeOver, load, print_json


def ask(
    campaign: Campaign,
    n: Annotated[
        int | None, typer.Option("-n", min=1, help="Most candidates to hand out; batch_size where absent.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A new folder; RUN/asked/001, 002 ... where absent.", show_default=False)
    ] = None,
    vasp: Annotated[
        str | None, typer.Option(metavar="SET", help="Write inputs of this pymatgen set too, like MPRelaxSet.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Write what was handed out and has no value yet; propose nothing.")
    ] = False,
    runs_dir: RunsDir = Path("runs"),
    take_over: TakeOver = False,
    as_json: Json = False,
) -> None:
    """Propose candidates to be measured outside: CIF files and a manifest to fill in.

    For campaigns with `{kind: external, properties: {NAME: UNIT}}` as their last oracle. What was handed out before and
    is not told yet is kept in mind.
    """
    path, spec = load(campaign)
    from optimizer.asking import ask_campaign

    report = ask_campaign(
        spec,
        folder=path.parent,
        run_folder=runs_dir / spec.name,
        n=n or spec.batch_size,
        out=out,
        vasp=vasp,
        again=again,
        report=(lambda text: None) if as_json else print,
        take_over=take_over,
    )
    if as_json:
        from dataclasses import asdict

        print_json(asdict(report) | {"folder": None if report.folder is None else str(report.folder)})
    else:
        from optimizer.display import print_asked

        print_asked(report)


def tell(
    campaign: Campaign,
    results: Annotated[Path, typer.Argument(help="The manifest with values, uncertainties and failures filled in.")],
    replace: Annotated[bool, typer.Option("--replace", help="Let a differing second value of a row count.")] = False,
    runs_dir: RunsDir = Path("runs"),
    take_over: TakeOver = False,
    as_json: Json = False,
) -> None:
    """Take back what was measured outside, in any order and in parts; the same rows again change nothing.

    A row that is wrong is refused with the reason and the others are kept; then the exit code is 2.
    """
    _, spec = load(campaign)
    from optimizer.telling import tell_campaign

    report = tell_campaign(spec, results, run_folder=runs_dir / spec.name, replace=replace, take_over=take_over)
    if as_json:
        from dataclasses import asdict

        print_json(asdict(report))
    else:
        from optimizer.display import print_told

        print_told(report)
    for number, refusal in report.refused.items():
        print(f"{results}, row {number}: {' '.join([refusal.candidate_id, refusal.reason]).strip()}", file=sys.stderr)
    if report.refused:
        rows = f"{len(report.refused)} row{'s' if len(report.refused) > 1 else ''} refused"
        raise UserError(f"{results}: {rows}; everything else is kept.", "Correct these and tell the table again.")
