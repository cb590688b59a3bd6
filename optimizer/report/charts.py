"""The charts of a report, each from plain data to one SVG with a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup

from optimizer.report.chemistry import ElementTally
from optimizer.report.convergence import Convergence
from optimizer.report.effort import Arms
from optimizer.report.forecasts import HALF_WIDTH, Calibration, Forecast
from optimizer.report.latent_map import LatentMap
from optimizer.report.listing import Column
from optimizer.report.snapshot import Snapshot, thinned
from optimizer.report.svg import (
    BOTTOM,
    HEIGHT,
    SHAPES,
    TOP,
    Axes,
    drawing,
    element,
    group,
    line,
    marker,
    span,
    viridis,
)
from optimizer.report.wording import number

MOST_DOTS = 700
CELL = 23


@dataclass(frozen=True)
class Chart:
    """One picture with its heading, what it shows in a sentence, and its legend."""

    title: str
    picture: Markup
    says: str = ""
    legend: tuple[tuple[Markup, str], ...] = ()
    wide: bool = False
    scale: Markup = field(default_factory=Markup)  # of colours


def key(shape: str, class_: str, text: str) -> tuple[Markup, str]:
    """A line of a legend."""
    if shape == "line":
        mark = line([(1, 8), (23, 8)], class_=class_)
    else:
        mark = marker(12, 8, shape, 5, class_=class_)
    return element("svg", mark, viewBox="0 0 24 16", width=24, height=16, aria_hidden="true"), text


def titled(column: Column) -> str:
    return f"{column.title} ({column.unit})" if column.unit else column.title


def convergence_chart(found: Convergence, column: Column) -> Chart:
    """Best so far by call; the start is shaded, its best a dashed line."""
    single = len(found.goals) == 1
    known = [m for m in found.measurements if m.value is not None]
    values = [value for _, value in found.best]
    if single:
        inner = [m.value for m in known if m.value is not None]
        low, high = (float(q) for q in np.percentile(inner, [2, 98])) if inner else (0.0, 1.0)
        y = span([low, high, *values, *([] if found.target is None else [found.target])], 0.08)
    else:
        y = (0.0, 1.08)
    axes = Axes(
        (0, max(found.calls, 1) * 1.02),
        y,
        "oracle calls spent",
        titled(column) if single else "share of the final hypervolume",
    )
    left, _ = axes.place(0, y[0])
    edge, _ = axes.place(found.start_calls, y[0])
    parts = [
        element("rect", x=left, y=TOP, width=max(edge - left, 1.0), height=HEIGHT - TOP - BOTTOM, class_="start"),
        axes.frame(),
    ]
    for index in thinned(len(found.measurements), MOST_DOTS):
        m = found.measurements[index]
        if m.value is None:
            if single or not m.feasible:
                x, _ = axes.place(m.call, y[0])
                if single:
                    parts.append(marker(x, HEIGHT - BOTTOM - 5, "cross", 2.5, f"{m.formula}: failed", class_="failed"))
            continue
        x, at = axes.place(m.call, m.value)
        tip = f"{m.formula}: {number(m.value)}, call {m.call}{'' if m.feasible else ', outside a bound'}"
        colour = "warm" if m.start else "cool"
        parts.append(
            marker(
                x, at, "square" if m.start else "circle", 3, tip, class_=colour if m.feasible else f"{colour} hollow"
            )
        )
    if found.target is not None:
        parts.append(line([axes.place(0, found.target), axes.place(axes.x[1], found.target)], class_="dashed"))
    if found.start is not None:
        parts.append(line([axes.place(0, found.start), axes.place(axes.x[1], found.start)], class_="dashed warm-line"))
    parts.append(line(_steps(found, axes), class_="best-line"))
    legend = [key("line", "best-line", "best so far"), key("line", "dashed warm-line", "best of the start (shaded)")]
    if single:
        legend += [
            key("square", "warm", "start"),
            key("circle", "cool", "search"),
            key("circle", "cool hollow", "outside a bound"),
        ]
        if any(m.value is None for m in found.measurements):
            legend.append(key("cross", "failed", "failed"))
    return Chart(
        "Convergence",
        drawing(parts, "Best value so far against calls spent"),
        _gain(found, column),
        tuple(legend),
        wide=True,
    )


def _steps(found: Convergence, axes: Axes) -> list[tuple[float, float]]:
    places: list[tuple[float, float]] = []
    for (call, value), following in zip(found.best, [*found.best[1:], None], strict=True):
        until = found.calls if following is None else following[0]
        places += [axes.place(call, value), axes.place(until, value)]
    return places


def _gain(found: Convergence, column: Column) -> str:
    if not found.best:
        return "Nothing feasible was found yet."
    end, unit = found.best[-1][1], f" {column.unit}".rstrip()
    if len(found.goals) == 2:
        share = "nothing" if found.start is None else f"{found.start:.0%}"
        return f"The start alone reached {share} of the hypervolume that the campaign has now."
    if found.start is None:
        return f"The start held nothing feasible; the best is now {number(end)}{unit}."
    calls = found.best[-1][0]
    if end == found.start:
        return f"The best, {number(end)}{unit}, came with the start."
    return f"From {number(found.start)} at the end of the start to {number(end)}{unit}, reached at call {calls}."


def forecast_chart(column: Column, made: Sequence[Forecast]) -> Chart:
    """Measured against predicted, with 90 % intervals; on the diagonal they agree."""
    both = [value for f in made for value in (f.mean, f.measured)]
    reach = span(both)
    axes = Axes(reach, reach, f"predicted {titled(column)}", f"measured {titled(column)}")
    parts = [axes.frame(), line([axes.place(reach[0], reach[0]), axes.place(reach[1], reach[1])], class_="dashed")]
    for index in thinned(len(made), MOST_DOTS):
        f = made[index]
        half = HALF_WIDTH[90] * f.sd
        colour = "cool" if f.inside(90) else "warm"
        (x, y), (low, _), (high, _) = (axes.place(at, f.measured) for at in (f.mean, f.mean - half, f.mean + half))
        tip = f"{f.formula}, round {f.round}: predicted {number(f.mean)} ± {number(half, 2)}, measured {number(f.measured)}"
        parts.append(element("line", x1=low, x2=high, y1=y, y2=y, class_=f"{colour}-line interval"))
        parts.append(marker(x, y, "circle" if f.inside(90) else "diamond", 3.2, tip, class_=colour))
    inside = sum(f.inside(90) for f in made)
    says = f"{inside} of {len(made)} measured values lie in the interval that should hold 90 % of them."
    legend = (
        key("circle", "cool", "inside its 90 % interval"),
        key("diamond", "warm", "outside"),
        key("line", "dashed", "prediction met"),
    )
    return Chart(column.title, drawing(parts, f"Measured against predicted {column.title}"), says, legend)


def calibration_chart(column: Column, found: Sequence[Calibration]) -> Chart:
    """Share of values inside their 50 and 90 % intervals by round, beside what it should be."""
    rounds = [each.first for each in found]
    axes = Axes((min(rounds) - 0.5, max(rounds) + 0.5), (0.0, 1.08), "round", "share inside", _round_ticks(rounds))
    parts = [axes.frame()]
    for level, colour, shape in ((90, "cool", "circle"), (50, "warm", "square")):
        parts.append(line([axes.place(x, level / 100) for x in axes.x], class_="dashed"))
        places = [axes.place(each.first, getattr(each, f"coverage_{level}")) for each in found]
        parts.append(line(places, class_=f"{colour}-line"))
        for each, (x, y) in zip(found, places, strict=True):
            share = getattr(each, f"coverage_{level}")
            tip = f"round {_rounds(each.first, each.last)}: {share:.0%} of {each.n} inside the {level} % interval"
            parts.append(marker(x, y, shape, 3.5, tip, class_=colour))
    legend = (
        key("circle", "cool", "inside the 90 % interval"),
        key("square", "warm", "inside the 50 % interval"),
        key("line", "dashed", "as it should be"),
    )
    total = sum(each.n for each in found)
    score = sum(each.n * each.log_score for each in found) / total
    says = f"{total} predictions; mean log score {number(score, 3)} nats (higher is better)."
    return Chart(column.title, drawing(parts, f"Calibration by round, {column.title}"), says, legend)


def latent_chart(found: LatentMap, column: Column) -> Chart:
    """Candidates coloured by a property; the path joins the mean places of the rounds."""
    axes = Axes(span([p.x for p in found.points]), span([p.y for p in found.points]), *found.axes)
    known = [p.values[column.name] for p in found.points if column.name in p.values]
    low, high = (float(q) for q in np.percentile(known, [2, 98])) if known else (0.0, 1.0)
    parts = [axes.frame()]
    for p in sorted(found.points, key=lambda p: (p.rank is not None, -(p.rank or 0))):
        value = p.values.get(column.name)
        x, y = axes.place(p.x, p.y)
        said = "failed" if value is None else f"{column.title} {number(value)}"
        tip = f"{p.formula}, round {p.round}: {said}{'' if p.new else ', known'}{f', rank {p.rank}' if p.rank else ''}"
        shape = "circle" if p.new else "triangle"
        if value is None:
            parts.append(marker(x, y, shape, 4, tip, class_="unknown"))
        else:
            fill = viridis((value - low) / (high - low) if high > low else 0.5)
            parts.append(
                marker(x, y, shape, 5.5 if p.rank else 4, tip, fill=fill, class_="ranked" if p.rank else "dot")
            )
    stops = [axes.place(x, y) for _, _, x, y in found.path]
    parts.append(line(stops, class_="path"))
    for (first, last, _, _), (x, y) in zip(found.path, stops, strict=True):
        parts.append(element("text", _rounds(first, last), x=x, y=y + 3.5, text_anchor="middle", class_="stop"))
    legend = [key("circle", "dot sample", "new"), key("circle", "ranked sample", "in the list")]
    if not all(p.new for p in found.points):
        legend.append(key("triangle", "dot sample", "known material"))
    if len(known) < len(found.points):
        legend.append(key("circle", "unknown", "failed"))
    legend.append(key("line", "path", "mean of each round, numbered"))
    label = f"Latent map by {found.method}, coloured by {column.title}"
    return Chart(
        f"{found.method}, coloured by {column.title}",
        drawing(parts, label),
        "",
        tuple(legend),
        scale=_colour_bar(low, high, titled(column)),
    )


def _colour_bar(low: float, high: float, title: str) -> Markup:
    steps = 24
    parts = [
        element(
            "rect", x=40 + 240 * k / steps, y=2, width=240 / steps + 0.5, height=10, fill=viridis((k + 0.5) / steps)
        )
        for k in range(steps)
    ]
    parts += [
        element("text", number(low, 3), x=36, y=11, text_anchor="end"),
        element("text", number(high, 3), x=284, y=11, text_anchor="start"),
        element("text", title, x=160, y=26, text_anchor="middle"),
    ]
    return drawing(parts, f"Colours from {low:.3g} to {high:.3g}", 320, 30)


def pareto_chart(snapshot: Snapshot, ranks: Mapping[str, int], shown: Mapping[str, Column]) -> Chart:
    """Both goals of everything that has them; the front is joined."""
    (first, _), (second, _) = snapshot.objective.goals
    both = [
        (each, each.values)
        for each in snapshot.evaluated
        if each.values and first in each.values and second in each.values
    ]
    front = {snapshot.evaluated[i].candidate.id for i in snapshot.objective.front(snapshot.values)}
    axes = Axes(
        span([values[first] for _, values in both]),
        span([values[second] for _, values in both]),
        titled(shown[first]),
        titled(shown[second]),
    )
    best = sorted((values[first], values[second]) for each, values in both if each.candidate.id in front)
    parts = [axes.frame(), line([axes.place(*at) for at in best], class_="best-line")]
    for index in thinned(len(both), MOST_DOTS, [i for i, (each, _) in enumerate(both) if each.candidate.id in front]):
        each, values = both[index]
        x, y = axes.place(values[first], values[second])
        feasible, rank = snapshot.objective.feasible(values), ranks.get(each.candidate.id)
        tip = f"{each.formula}: {number(values[first])}, {number(values[second])}{f', rank {rank}' if rank else ''}{'' if feasible else ', outside a bound'}"
        if each.candidate.id in front:
            parts.append(marker(x, y, "star", 5, tip, class_="warm"))
        else:
            colour = "warm" if each.candidate.round == 0 else "cool"
            parts.append(
                marker(
                    x,
                    y,
                    "square" if each.candidate.round == 0 else "circle",
                    3.2,
                    tip,
                    class_=colour if feasible else f"{colour} hollow",
                )
            )
        if rank and each.candidate.id in front:
            parts.append(element("text", str(rank), x=x + 8, y=y - 5, class_="stop"))
    legend = (
        key("star", "warm", "on the Pareto front, with its rank"),
        key("square", "warm", "start"),
        key("circle", "cool", "search"),
        key("circle", "cool hollow", "outside a bound"),
    )
    goals = " and ".join(f"{shown[name].title}: {shown[name].asked}" for name in (first, second))
    says = f"{len(front)} of {len(both)} are on the front. {goals[:1].upper()}{goals[1:]}."
    return Chart("Pareto front", drawing(parts, "Pareto front of both goals"), says, legend, wide=True)


def periodic_chart(table: Sequence[ElementTally]) -> Chart:
    """Colour by how many candidates hold the element; the small numbers are tried and, after a star, in the list."""
    most = max((each.tried for each in table), default=0) or 1
    parts = []
    for each in table:
        x, y = each.column * CELL + 2, each.row * CELL + 2
        tip = f"{each.symbol}: in {each.tried} evaluated, {each.won} in the list"
        inside = [element("title", tip if each.allowed else f"{tip}; outside the search space")]
        share = (each.tried / most) ** 0.5
        fill = viridis(1 - share) if each.tried else None
        rim = "cell won" if each.won else "cell"
        inside.append(
            element(
                "rect",
                x=x,
                y=y,
                width=CELL - 2,
                height=CELL - 2,
                rx=2,
                fill=fill,
                class_=rim if each.tried else f"{rim} untried",
            )
        )
        tone = "empty" if not each.tried else ("on-dark" if share > 0.45 else "on-light")
        off = "" if each.allowed or each.tried else " off"
        inside.append(
            element(
                "text",
                each.symbol,
                x=x + (CELL - 2) / 2,
                y=y + 10.5,
                text_anchor="middle",
                class_=f"symbol {tone}{off}",
            )
        )
        if each.tried:
            counts = f"{each.tried}★{each.won}" if each.won else str(each.tried)
            inside.append(
                element("text", counts, x=x + (CELL - 2) / 2, y=y + 18.5, text_anchor="middle", class_=f"counts {tone}")
            )
        parts.append(group(inside))
    width, height = 18 * CELL + 4, round(9.4 * CELL) + 4
    picture = drawing(parts, "Periodic table of elements tried", width, height)
    return Chart("Periodic table", picture, _winners(table), wide=True)


def _winners(table: Sequence[ElementTally]) -> str:
    won = sorted((each for each in table if each.won), key=lambda each: (-each.won, -each.tried))[:6]
    tried = sum(each.tried > 0 for each in table)
    if not won:
        return f"{tried} elements were tried; none is in a feasible crystal of the list."
    names = ", ".join(f"{each.symbol} ({each.won} of {each.tried} tried)" for each in won)
    return f"{tried} elements were tried. Most often in the list: {names}."


def arms_charts(found: Arms) -> tuple[Chart, ...]:
    """Shares of the pool by round, and what each arm earned so far."""
    charts = []
    if found.shares:
        series = {name: [(float(n), share) for n, share in each] for name, each in found.shares.items()}
        top = max(share for each in series.values() for _, share in each)
        charts.append(_series("Shares of the pool", series, "share of the pool", top))
    if found.earned:
        counts = {name: [(float(n), float(total)) for n, total in each] for name, each in found.earned.items()}
        top = max([1.0, *(total for each in counts.values() for _, total in each)])
        charts.append(_series("Earned so far", counts, "candidates in the best quarter", top))
    return tuple(charts)


def _series(title: str, series: Mapping[str, Sequence[tuple[float, float]]], axis: str, top: float) -> Chart:
    rounds = sorted({int(x) for each in series.values() for x, _ in each})
    axes = Axes((rounds[0] - 0.4, rounds[-1] + 0.4), (0.0, top * 1.08), "round", axis, _round_ticks(rounds))
    parts, legend = [axes.frame()], []
    for number_, (name, each) in enumerate(series.items()):
        colour, shape = f"series{number_ % 6}", SHAPES[number_ % len(SHAPES)]
        places = [axes.place(x, y) for x, y in each]
        parts.append(line(places, class_=f"{colour}-line"))
        for index in thinned(len(places), 24):
            tip = f"{name}, round {each[index][0]:.0f}: {number(each[index][1], 3)}"
            parts.append(marker(*places[index], shape, 3.5, tip, class_=colour))
        legend.append(key(shape, colour, name))
    return Chart(title, drawing(parts, title), "", tuple(legend))


def bar(share: float, class_: str = "cool") -> Markup:
    """A bar of a table, `share` in [0, 1] of the longest."""
    return element(
        "svg",
        element("rect", x=0, y=1, width=max(100 * share, 0.6), height=8, class_=class_),
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        class_="bar",
        aria_hidden="true",
    )


def _round_ticks(rounds: Sequence[int]) -> tuple[float, ...]:
    step = max(1, -(-(max(rounds) - min(rounds)) // 8))
    return tuple(float(n) for n in range(min(rounds), max(rounds) + 1, step))


def _rounds(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}–{last}"
