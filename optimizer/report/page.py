"""One HTML file that needs nothing but itself.

Whatever comes from the ledger is text: jinja2 and markupsafe escape it, and a policy in the page's head lets the
browser run no script but ours, load nothing and send nothing, whatever a name or a message may hold.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from pymatgen.core import Structure

from campaigns.artifacts import write_durably
from campaigns.errors import UserError
from campaigns.goals import Objective
from campaigns.store import CampaignStore
from optimizer.report.charts import bar
from optimizer.report.effort import Reason
from optimizer.report.gathering import ReportData, gather
from optimizer.report.listing import Card
from optimizer.report.progress_charts import arms_charts, calibration_chart, convergence_chart, forecast_chart
from optimizer.report.space_charts import latent_chart, pareto_chart, periodic_chart
from optimizer.report.wording import CODES, count, duration, number
from optimizer.status import CLOCK
from optimizer.verification import HULL

if TYPE_CHECKING:
    from optimizer.references import Novelty

FILE = "report.html"
PHASES = {
    "start": "making the start",
    "propose": "proposing",
    "evaluate": "evaluating",
    "refine": "retraining the generator",
}
ADDRESS = re.compile(r"https?://[^\s<>()\[\]\"']+[^\s<>()\[\]\"'.,;:]")


def write_report(store: CampaignStore, *, novelty: Callable[[Structure], Novelty], out: Path | None = None) -> Path:
    """Write the report of a campaign to `out`, by default `report.html` in its run folder; what was there is replaced.

    Raises UserError where it cannot be written.
    """
    place = out or store.folder / FILE
    if place.is_dir():
        raise UserError(f"{place}: is a folder.", "Give a file as --out, like report.html.")
    text = page(gather(store, novelty))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_durably(place, text.encode())
    except OSError as error:
        raise UserError(f"{place}: cannot be written ({error.strerror}).", "Give another file as --out.") from None
    return place


def page(data: ReportData) -> str:
    """The HTML, without a reference to anything outside it but links that a person may follow."""
    style, script = _part("page.css"), _part("page.js")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        _environment()
        .get_template("page.html.j2")
        .render(data=data, policy=policy, style=Markup(style), script=Markup(script), **_context(data))
    )


def _part(name: str) -> str:
    return files("optimizer.report").joinpath("templates", name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("optimizer.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "digits": lambda value: number(value, trailing=True),
        "duration": duration,
        "signed": signed,
        "formula": formula,
        "links": links,
        "code": code,
        "count": count,
        "words": lambda text: str(text).replace("_", " "),
    }
    return environment


def _context(data: ReportData) -> dict[str, Any]:
    """What the templates need beside the data itself."""
    asked = [column for column in data.columns if column.asked]
    pictures = _charts(data)
    return {
        "headline": headline(data),
        "headline_marked": _marked(headline(data), data),
        "asked": _asked(data),
        "nothing": nothing(data),
        "left_out": _left_out(data),
        "table_columns": asked,  # objectives and constraints come first
        "card_values": lambda card: _card_values(card, data),
        "card_goals": lambda card: _card_goals(card, data),
        "verified": any(card.second_by for card in data.cards),
        "second_gap": _second_gap,
        "contents": _contents(pictures),
        "charts": pictures,
        "scenes": [card.scene for card in data.cards],
        "bar": bar,
        "codes": CODES,
        "phases": PHASES,
        "most_failed": max((each.count for each in data.reasons), default=1),
        "oracle_seconds": sum(each.seconds for each in data.stages),
        "phase_total": sum(data.phases.values()),
        "goal": data.column(data.convergence.goals[0]),
        "events": [event for event in data.snapshot.events if event.kind != CLOCK],
    }


def _charts(data: ReportData) -> dict[str, Any]:
    objective = data.snapshot.objective
    goals = [data.column(name) for name, _ in objective.goals]
    ranks = {card.id: card.rank for card in data.cards}
    two = len(goals) == 2
    return {
        "convergence": convergence_chart(data.convergence, goals[0]),
        "pareto": pareto_chart(data.snapshot, ranks, {g.name: g for g in goals}) if two else None,
        "forecasts": [forecast_chart(data.column(name), made) for name, made in data.forecasts.items()],
        "calibration": [calibration_chart(data.column(name), made) for name, made in data.calibrations.items()],
        "maps": [latent_chart(found, goal) for goal in goals for found in data.maps.maps],
        "elements": periodic_chart(data.elements),
        "arms": arms_charts(data.arms),
    }


def _contents(pictures: dict[str, Any]) -> list[tuple[str, str]]:
    found = [("ranked", "Candidates"), ("convergence", "Convergence")]
    found += [("pareto", "Pareto front")] if pictures["pareto"] else []
    return [
        *found,
        ("predicted", "Predicted and measured"),
        ("calibration", "Calibration"),
        ("map", "Latent map"),
        ("elements", "Elements"),
        ("failures", "Failures"),
        ("time", "Time"),
        ("arms", "Arms"),
        ("provenance", "Provenance"),
    ]


def headline(data: ReportData) -> str:
    """The answer in one line."""
    if not data.cards:
        return "Nothing to rank yet"
    best = data.cards[0]
    goals = dict(data.snapshot.objective.goals)
    reached = " and ".join(
        f"{column.title} {number(value)}{f' {column.unit}' if column.unit else ''}{_wanted(goals[column.name])}"
        for column, value in zip(data.columns, best.values, strict=True)
        if column.name in goals
    )
    if not best.feasible:
        return f"Nothing within every bound yet; the nearest is {best.formula}, {reached}"
    return f"{best.formula} ({best.space_group}): {reached}"


def _wanted(goal: Objective) -> str:
    return "" if goal.target is None else f" (wanted {number(goal.target)})"


def _asked(data: ReportData) -> str:
    """What the campaign was asked for, in words."""
    spec = data.snapshot.spec
    goals = " and ".join(_wish(data, name) for name in spec.objectives)
    bounds = ", ".join(_wish(data, name) for name in spec.constraints if name not in spec.objectives)
    listed = f" {count(len(data.cards), 'crystal')} in the list" if data.cards else ""
    if listed and spec.constraints:
        listed += f", {sum(card.feasible for card in data.cards)} of them within every bound"
    kept = f"; kept to {bounds}" if bounds else ""
    return f"Asked for: {goals}{kept}.{listed}{'.' if listed else ''}"


def _wish(data: ReportData, name: str) -> str:
    column = data.column(name)
    asked = column.asked or _plain(data, name)
    unit = f" {column.unit}" if column.unit and any(c.isdigit() for c in asked) else ""
    return f"{column.title} {asked}{unit}" if any(c.isdigit() for c in asked) else f"{asked} {column.title}"


def _plain(data: ReportData, name: str) -> str:
    goal = data.snapshot.spec.objectives.get(name)
    return goal.goal if goal else ""


def _marked(text: str, data: ReportData) -> Markup:
    """The line with the formula's amounts as subscripts."""
    if not data.cards:
        return escape(text)
    before, found, after = text.partition(data.cards[0].formula)
    return escape(before) + formula(found) + escape(after)


def nothing(data: ReportData) -> str:
    """Why there is no list."""
    asked = {each.stage for each in data.stages}
    if not data.ranking.evaluated:
        return f"Nothing was evaluated yet.{_most_often([each for each in data.reasons if each.stage not in asked])}"
    if data.ranking.failed == data.ranking.evaluated:
        why = _most_often([each for each in data.reasons if each.stage in asked and each.failure])
        return f"All {data.ranking.evaluated} candidates that were evaluated failed.{why}"
    return f"None of {data.ranking.evaluated} evaluated candidates can be ranked."


def _most_often(found: Sequence[Reason]) -> str:
    worst = max(found, key=lambda each: each.count, default=None)
    return f" Most often: {worst.stage}, {CODES[worst.code]} ({worst.count})." if worst else ""


def _left_out(data: ReportData) -> str:
    ranking = data.ranking
    counts = (
        (ranking.duplicates, "the same crystal as one above"),
        (ranking.known, "known materials"),
        (ranking.outside, "outside the search space"),
    )
    return ", ".join(f"{n} {why}" for n, why in counts if n)


def _card_values(card: Card, data: ReportData) -> list[tuple[str, str]]:
    return [
        (column.title, f"{number(value)} {column.unit}".rstrip() + (f" ({column.asked})" if column.asked else ""))
        for column, value in zip(data.columns, card.values, strict=True)
        if value is not None
    ]


def _card_goals(card: Card, data: ReportData) -> list[str]:
    goals = data.snapshot.spec.objectives
    pairs = zip(data.columns, card.values, strict=True)
    return [f"{number(value)} {column.unit}".rstrip() for column, value in pairs if column.name in goals]


def _second_gap(card: Card) -> float | None:
    return next((each.difference for each in card.second if each.name == HULL), None)


def signed(value: float | None) -> str:
    """With its sign, as differences are written."""
    return number(value) if value is None or value < 0 else f"+{number(value)}"


def formula(text: str) -> Markup:
    """Amounts of a formula as subscripts."""
    return Markup(re.sub(r"([\d.]+)", r"<sub>\1</sub>", str(escape(text))))


def code(text: str) -> Markup:
    """What stands in backquotes as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def links(text: str) -> Markup:
    """Escaped text in which web addresses can be followed."""
    parts, end = [], 0
    for found in ADDRESS.finditer(text):
        address = found[0]
        parts += [escape(text[end : found.start()]), Markup('<a href="{0}" rel="noreferrer">{0}</a>').format(address)]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])
