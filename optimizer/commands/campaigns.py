"""Commands that check, run and read a campaign. Heavy libraries are imported inside them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from campaigns.errors import CampaignInterrupted
from optimizer.campaign_files import run_folder
from optimizer.commands.arguments import Campaign, Json, Run, RunsDir, TakeOver, load, open_run, print_json, resumable


def check(
    campaign: Campaign,
    runs_dir: RunsDir = Path("runs"),
    measure: Annotated[
        bool, typer.Option("--measure", help="Time each oracle on a crystal of the search space: some seconds.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build everything the campaign needs, show what it will do and cost, and spend nothing."""
    path, spec = load(campaign)
    # after the file was read: a misspelt key is found without loading torch
    from optimizer.build import build
    from optimizer.display import print_plan
    from optimizer.plan import plan

    lines = plan(build(spec, path.parent), runs_dir / spec.name, measure=measure)
    if as_json:
        print_json([{"what": what, "words": words} for what, words in lines])
        return
    print_plan(lines)
    print(f"{path}: ready to run.")


def run(
    campaign: Campaign,
    runs_dir: RunsDir = Path("runs"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    json_lines: Annotated[
        bool, typer.Option("--json-lines", help="Print one JSON object per event, and nothing else.")
    ] = False,
    take_over: TakeOver = False,
) -> None:
    """Run a campaign, or go on with one that was started, and export its list.

    Ctrl-C stops it after the candidates in hand, a second one at once; nothing measured is lost.
    """
    if json_lines:
        run_with_json_lines(campaign, runs_dir, take_over=take_over)
        return
    path, spec = load(campaign)
    from optimizer.loop import run_campaign

    folder = runs_dir / spec.name
    try:
        run_campaign(spec, folder=path.parent, run_folder=folder, quiet=quiet, take_over=take_over)
    except CampaignInterrupted:
        export_and_show(folder, quiet=quiet)
        raise
    export_and_show(folder, quiet=quiet)
    if not quiet:
        print(f"Next: optimize report {shlex.quote(str(folder))}")


def run_with_json_lines(campaign: str, runs_dir: Path, *, take_over: bool) -> None:
    """The same for a program; its last line is `finished` or `interrupted`."""
    path, spec = load(campaign)
    from optimizer.json_lines import emit, nothing_but_json
    from optimizer.loop import run_campaign

    folder = runs_dir / spec.name
    with nothing_but_json() as out:
        try:
            run_campaign(spec, folder=path.parent, run_folder=folder, take_over=take_over, json_lines=out)
        except CampaignInterrupted as stopped:
            emit(out, "interrupted", message=str(stopped), **result_so_far(folder))
            raise
        emit(out, "finished", **result_so_far(folder))


def result_so_far(folder: Path) -> dict[str, Any]:
    """Write the list; where the campaign stands, and where the list is."""
    from campaigns.store import CampaignStore
    from optimizer.export import export_campaign
    from optimizer.known import known_to
    from optimizer.status import campaign_status

    with CampaignStore.open(folder) as store:
        report = export_campaign(store, novelty=known_to(store).novelty)
        status = campaign_status(store)
    budget = status["budget"]
    spent = {"calls": budget["oracle_calls"], "of": budget["of"], "hours": budget["hours"]}
    found = {"state": status["state"], **spent, "failures": status["failures"], "best": status["best"]}
    return {**found, "export": str(report.folder), "ranked": len(report.ranking.entries)}


def export_and_show(folder: Path, *, quiet: bool) -> None:
    """Write the list of what was found so far, and show it with what it cost."""
    from campaigns.store import CampaignStore
    from optimizer.display import print_cost, print_ranking
    from optimizer.export import export_campaign
    from optimizer.known import known_to
    from optimizer.status import campaign_status

    with CampaignStore.open(folder) as store:
        report = export_campaign(store, novelty=known_to(store).novelty)
        summary = campaign_status(store)
    if not quiet:
        print_ranking(report.document, report.folder)
        print_cost(summary)


def status(run: Run, runs_dir: RunsDir = Path("runs"), as_json: Json = False) -> None:
    """Where a campaign stands: rounds, budget, failures by code, best so far."""
    from optimizer.status import campaign_status

    with open_run(run, runs_dir) as store:
        summary = campaign_status(store)
    if as_json:
        print_json(summary)
    else:
        from optimizer.display import print_status

        print_status(summary)


def report(
    run: Run,
    out: Annotated[Path | None, typer.Option(help="RUN/report.html where absent.", show_default=False)] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Write one HTML page that opens offline: the ranked candidates with their structures, and how they were found.

    It may be written at any time, while the campaign runs too.
    """
    with open_run(run, runs_dir) as store:
        from optimizer.display import console
        from optimizer.known import known_to
        from optimizer.report.page import write_report

        with console().status("ranking what was measured, and drawing"):  # nothing of it in a file
            place = write_report(store, novelty=known_to(store).novelty, out=out)
    print(f"{place}: {place.stat().st_size / 1e6:.1f} MB; any browser opens it.")
    if open_it:
        typer.launch(str(place))


def export(
    run: Run,
    formats: Annotated[
        str, typer.Option("--format", help="Some of csv, json, cif, extxyz, ase-db, zip, joined by commas.")
    ] = "csv,json,cif,extxyz",
    out: Annotated[
        Path | None,
        typer.Option(
            help="A new folder, or one with an older list, replaced as a whole; RUN/export where absent.",
            show_default=False,
        ),
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    as_json: Json = False,
) -> None:
    """Rank what was found and write it for other programs, while the campaign runs too.

    ranking.csv, ranking.json, cif/, candidates.extxyz, candidates.db for ASE, and a zip to send to somebody.
    """
    from optimizer.export_formats import chosen_formats

    chosen = chosen_formats(formats.replace(",", " ").split())
    with open_run(run, runs_dir) as store:
        from optimizer.export import export_campaign
        from optimizer.known import known_to

        report = export_campaign(store, novelty=known_to(store).novelty, folder=out, formats=chosen)
    if as_json:
        print_json({"folder": str(report.folder), **report.document})
    else:
        from optimizer.display import print_ranking

        print_ranking(report.document, report.folder)


def verify(
    run: Run,
    runs_dir: RunsDir = Path("runs"),
    top: Annotated[int, typer.Option(min=1, help="How many, from the head of the list.")] = 10,
    calculator: Annotated[
        str, typer.Option(help="sevennet, chgnet, or the import path of an ASE calculator.")
    ] = "sevennet",
    calculator_args: Annotated[str, typer.Option(help="Its keyword arguments as JSON.")] = "{}",
    threshold: Annotated[
        float, typer.Option(min=0, help="Hull distances further apart than this are flagged (eV/atom).")
    ] = 0.05,
    competing_phases: Annotated[
        int | None,
        typer.Option(min=0, help="Formulas made with the second potential; as in the campaign where absent."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Measure the top of the list again with a second potential, against a hull of its own, and export again.

    The list then shows both values and their difference. It costs no budget; run it again to go on or change it.
    """
    from optimizer.calculators import CalculatorParams
    from optimizer.commands.references import json_arguments
    from optimizer.verification import verify_campaign

    params = CalculatorParams(calculator=calculator, calculator_args=json_arguments(calculator_args))
    folder = run_folder(run, runs_dir)
    with resumable():
        verify_campaign(folder, params, top=top, threshold_ev_atom=threshold, formulas=competing_phases)
    export_and_show(folder, quiet=quiet)
