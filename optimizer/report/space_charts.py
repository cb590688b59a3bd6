"""Charts of where a campaign looked: the latent map, the Pareto front, the periodic table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from optimizer.report.charts import MOST_DOTS, Chart, capital, drawn_of, key, titled
from optimizer.report.chemistry import ElementTally
from optimizer.report.convergence import pareto_front
from optimizer.report.latent_map import LatentMap
from optimizer.report.listing import Column
from optimizer.report.snapshot import Snapshot, thinned
from optimizer.report.svg import Axes, drawing, element, group, line, marker, span, viridis
from optimizer.report.wording import either_of, number

CELL = 23


def latent_chart(found: LatentMap, column: Column) -> Chart:
    """Candidates coloured by a property; the path joins the mean places of the rounds."""
    axes = Axes(span([p.x for p in found.points]), span([p.y for p in found.points]), *found.axes)
    known = [p.values[column.name] for p in found.points if column.name in p.values]
    low, high = (float(q) for q in np.percentile(known, [2, 98])) if known else (0.0, 1.0)
    parts = [axes.frame()]
    for p in sorted(found.points, key=lambda p: (p.rank is not None, -(p.rank or 0))):
        value = p.values.get(column.name)
        x, y = axes.place(p.x, p.y)
        said = p.lacking if value is None else f"{column.title} {number(value)}"
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
    for (_, last, _, _), (x, y) in zip(found.path, stops, strict=True):
        parts.append(element("text", str(last), x=x, y=y + 3.5, text_anchor="middle", class_="stop"))
    legend = [key("circle", "dot sample", "new"), key("circle", "ranked sample", "in the list")]
    if not all(p.new for p in found.points):
        legend.append(key("triangle", "dot sample", "known material"))
    if len(known) < len(found.points):
        legend.append(
            key("circle", "unknown", either_of({p.lacking for p in found.points if column.name not in p.values}))
        )
    legend.append(key("line", "path", "mean of the rounds up to each number"))
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
    objective = snapshot.objective
    (first, _), (second, _) = objective.goals
    both = [
        (each, (v[first], v[second]))
        for each in snapshot.evaluated
        if (v := each.values) and {first, second} <= v.keys()
    ]
    front = pareto_front(snapshot.evaluated, objective)
    keep = [index for index, (each, _) in enumerate(both) if each.candidate.id in front]
    reach = (span([at[0] for _, at in both]), span([at[1] for _, at in both]))
    axes = Axes(*reach, titled(shown[first]), titled(shown[second]))
    best = sorted(at for each, at in both if each.candidate.id in front)
    parts = [axes.frame(), line([axes.place(*at) for at in best], class_="best-line")]
    for index in thinned(len(both), MOST_DOTS, keep):
        each, at = both[index]
        x, y = axes.place(*at)
        feasible, rank = objective.feasible(each.values), ranks.get(each.candidate.id)
        qualified = f"{f', rank {rank}' if rank else ''}{'' if feasible else ', outside a bound'}"
        tip = f"{each.formula}: {number(at[0])}, {number(at[1])}{qualified}"
        colour, shape = ("warm", "square") if each.candidate.round == 0 else ("cool", "circle")
        if each.candidate.id in front:
            parts.append(marker(x, y, "star", 5, tip, class_=colour))
            parts += [element("text", str(rank), x=x + 8, y=y - 5, class_="stop")] if rank else []
        else:
            parts.append(marker(x, y, shape, 3.2, tip, class_=colour if feasible else f"{colour} hollow"))
    legend = (
        key("star", "cool", "on the Pareto front, with its rank"),
        key("square", "warm", "start"),
        key("circle", "cool", "search"),
        key("circle", "cool hollow", "outside a bound"),
    )
    goals = " and ".join(f"{shown[name].title}: {shown[name].asked}" for name in (first, second))
    says = f"{len(front)} of {len(both)} are on the front. {capital(goals)}.{drawn_of(len(both))}"
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
            tried = str(each.tried) if each.tried < 1000 else f"{each.tried / 1000:.1f}k"
            counts = f"{tried}★{each.won}" if each.won else tried
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
    return f"{tried} elements were tried. Most often in feasible crystals of the list: {names}."
