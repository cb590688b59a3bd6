"""Tables for a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from optimizer.catalogue import Kind
from optimizer.doctor import Check
from optimizer.durations import duration
from optimizer.status import failures_in_words

if TYPE_CHECKING:
    from optimizer.asking import AskReport
    from optimizer.telling import TellReport

MARKS = {"ok": Text("ok", "green"), "note": Text("note", "yellow"), "fault": Text("FAULT", "bold red")}

WIDTH_OF_FILES = 240
SHOWN_IN_HAND = 8


def console() -> Console:
    """As wide as the terminal, wide enough for any table elsewhere; nothing is read as markup unless asked to."""
    width = None if sys.stdout.isatty() else WIDTH_OF_FILES
    return Console(markup=False, highlight=False, soft_wrap=False, width=width)


def print_plan(lines: Sequence[tuple[str, str]]) -> None:
    """What `plan` returned."""
    table = Table.grid(padding=(0, 2))
    for what, words in lines:
        table.add_row(what, words)
    console().print(table)


def print_cost(summary: dict[str, Any]) -> None:
    """One line of what `campaign_status` returned: calls, minutes, seconds a call."""
    budget = summary["budget"]
    calls, minutes = budget["oracle_calls"], budget["hours"] * 60
    each = f", {minutes * 60 / calls:.1f} s a call" if calls else ""
    spent = f"{calls} of {budget['of']} calls of {budget['dearest_stage']}"
    console().print(f"{summary['campaign']}: {summary['state']}; {spent} in {minutes:.1f} min{each}.")


def print_status(summary: dict[str, Any]) -> None:
    """What `campaign_status` returned."""
    budget, counts = summary["budget"], summary["candidates"]
    table = Table.grid(padding=(0, 2))
    table.add_row("campaign", f"{summary['campaign']} in {summary['folder']}")
    table.add_row("state", summary["state"])
    if driver := summary["driver"]:
        table.add_row("driver", f"process {driver['pid']} on {driver['host']} since {driver['since']}")
    table.add_row("rounds", f"{summary['rounds']} (last phase {summary['last_phase'] or 'none'})")
    handed_out = f", {counts['handed_out']} handed out and not told" if counts["handed_out"] else ""
    table.add_row("candidates", f"{counts['proposed']} proposed, {counts['evaluated']} evaluated{handed_out}")
    for line in _in_hand(summary["in_hand"]):
        table.add_row("in hand", line)
    calls = f"{budget['oracle_calls']} of {budget['of']} calls of {budget['dearest_stage']}"
    table.add_row("budget", f"{calls}, {budget['oracle_seconds']:.0f} s in oracles")
    for stage, spent in summary["stages"].items():
        table.add_row("", f"{stage}: {spent['entered']} in, {spent['failed']} failed, {spent['seconds']:.0f} s")
    if (made := summary["competing_phases"])["sets"]:
        said = f"{made['relaxations']} relaxations for {made['sets']} sets of elements, outside the budget"
        table.add_row("competing phases", said)
    if summary["search"]:
        table.add_row("search", f"round {summary['search']['round']}: {summary['search']['why']}")
    if summary["seconds_left"]:
        table.add_row("time left", f"about {duration(summary['seconds_left'])} at this pace")
    table.add_row("failures", failures_in_words(summary["failures_by_stage"]) or "none")
    for each in summary["refinements"]:
        verdict = f"goes on with {each['generator']}" if each["accepted"] else f"rolled back: {each['why']}"
        table.add_row("refined", f"after round {each['round']}; {verdict}")
    if summary["calibration"]:
        table.add_row("calibration", _calibration(summary["calibration"][-1]))
    table.add_row("best feasible", _best(summary["best"]))
    for event in summary["events"]:
        table.add_row("event", f"{event['at']} {event['kind']}: {event['message']}")
    console().print(table)


def _in_hand(leases: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each of the first few candidates, one for the rest."""
    lines = [
        f"{each['formula']} ({each['id']}) by process {each['pid']} on {each['host']} since {each['since']}, "
        f"heartbeat {each['heartbeat_at']}"
        for each in leases[:SHOWN_IN_HAND]
    ]
    return lines + ([f"and {len(leases) - SHOWN_IN_HAND} more"] if len(leases) > SHOWN_IN_HAND else [])


def _calibration(last: dict[str, Any]) -> str:
    """How many of the last predicted round's measurements lay inside their 90 % intervals."""
    judged = {name: each for name, each in last.items() if name != "round"}
    inside = "; ".join(f"{name} {each['coverage_90']:.0%} of {each['n']}" for name, each in judged.items())
    return f"round {last['round']}, inside the 90 % interval: {inside}"


def _best(best: dict[str, Any] | None) -> str:
    if best is None:
        return "none yet"
    values = ", ".join(f"{name} {value:.4g}" for name, value in best["values"].items())
    return f"{best['formula']} ({best['id']}, round {best['round']}, {best['arm']}): {values}"


def print_ranking(document: Mapping[str, Any], folder: Path) -> None:
    """What stands in ranking.json, narrow enough for a terminal of 80 columns; files are named by their rank."""
    wanted = list(dict.fromkeys([*document["spec"]["objectives"], *document["spec"]["constraints"]]))
    again = [f"verified_{name}" for name in wanted]
    wanted += [name for name in again if any(line.get(name) is not None for line in document["candidates"])]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("rank", "formula", "space group", *(_broken(name) for name in wanted), "feasible", "flags"):
        folds = name in ("formula", "flags")
        table.add_column(name, overflow="fold", no_wrap=not folds, min_width=10 if folds else None)
    for line in document["candidates"]:
        values = ["" if line.get(name) is None else f"{line[name]:.4g}" for name in wanted]
        feasible = "yes" if line["feasible"] else "no"
        table.add_row(
            str(line["rank"]), line["formula"], line["space_group"], *values, feasible, "\n".join(line["flags"])
        )
    console().print(table if document["candidates"] else "Nothing to rank yet.")
    left_out = (
        f"{document['duplicates_left_out']} duplicates, {document['known_left_out']} known materials, "
        f"{document['outside_left_out']} outside the search space"
    )
    counts = f"{document['evaluated']} evaluated, {document['failed']} failed"
    console().print(f"{counts}; left out of the list: {left_out}. Files in {folder}")
    if document["failures"]:
        console().print(f"Failures by stage: {failures_in_words(document['failures'])}.")


def _broken(name: str) -> str:
    """A property's name broken at its underscores, so that its column stays narrow."""
    return "_\n".join(wrap(name.replace("_", " "), 10)).replace(" ", "_")


def print_kinds(role: str, kinds: Sequence[Kind]) -> None:
    """One block per kind: its line, then its parameters."""
    out = console()
    out.print(Text(role, "bold"))
    for kind in kinds:
        out.print(Text(f"  {kind.name}", "cyan"), Text(kind.line or kind.problem), sep="  ")
        table = Table.grid(padding=(0, 2))
        for each in kind.parameters:
            table.add_row(f"      {each.name}", f"{each.type} = {each.default}", each.description)
        if kind.parameters:
            out.print(table)


def print_asked(report: AskReport) -> None:
    """What `ask_campaign` returned."""
    out = console()
    for note in report.notes:
        out.print(note)
    if report.folder is None:
        out.print(f"Nothing to hand out: {report.why}.")
    else:
        files = f"{len(report.candidates)} candidates in {report.folder}"
        out.print(f"{files}: fill in manifest.csv there and give it to `optimize tell`.")
    out.print(f"{report.awaited} wait for values; {report.calls_left} calls of the budget can still be asked for.")


def print_told(report: TellReport) -> None:
    """What `tell_campaign` returned; refused rows are left to whoever ends the command."""
    replaced = f", {len(report.replaced)} replaced" if report.replaced else ""
    empty = f", {report.empty} rows not filled in" if report.empty else ""
    counts = f"{len(report.recorded)} recorded{replaced}, {len(report.known)} told before{empty}"
    for name, why in report.outside.items():
        console().print(
            f"{name}: its values are kept, but the relaxed crystal left the search space ({why}), which counts as a "
            "failure. Tell it without relaxed_file and with --replace to have it ranked."
        )
    if report.unread:
        console().print(f"Columns not read: {', '.join(report.unread)}.")
    console().print(f"{counts}, {len(report.refused)} refused; {report.awaited} candidates wait for values.")


def print_checks(checks: Sequence[Check]) -> None:
    """One line per check, and the remedies of what is wrong."""
    table = Table.grid(padding=(0, 2))
    for check in checks:
        table.add_row(MARKS[check.verdict], check.name, check.message)
    console().print(table)
    for check in checks:
        if check.verdict == "fault":
            console().print(f"{check.name}: {check.remedy}")


def print_evaluation(document: dict[str, Any], out: Path | None) -> None:
    """What `evaluate_generator` measured."""
    table = Table("figure", "value", "unit", "n", "rule", box=SIMPLE_HEAD)
    for name, figure in document["figures"].items():
        value = "-" if figure["value"] is None else f"{figure['value']:.4g}"
        table.add_row(name, value, figure["unit"], str(figure["n"]), figure["rule"])
    screen = console()
    screen.print(f"{document['generator']} on {document['data']['name']}: judged on {document['judged_on']}")
    refused = document["data"]["refused"]
    if refused["rows"]:
        reasons = "; ".join(f"{n} x {reason}" for reason, n in list(refused["reasons"].items())[:5])
        screen.print(f"{refused['rows']} rows not used: {reasons}")
    screen.print(table)
    if out is not None:
        screen.print(f"Plots: {out / 'evaluation.html'}")
