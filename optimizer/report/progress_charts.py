"""Charts of how a campaign went: convergence, predictions against measurements, calibration, the arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from optimizer.report.charts import MOST_DOTS, Chart, capital, drawn_of, key, round_ticks, rounds_text, titled
from optimizer.report.convergence import Convergence
from optimizer.report.effort import Arms
from optimizer.report.forecasts import HALF_WIDTH, Calibration, Forecast
from optimizer.report.listing import Column
from optimizer.report.snapshot import thinned
from optimizer.report.svg import BOTTOM, HEIGHT, SHAPES, TOP, Axes, drawing, element, line, marker, span
from optimizer.report.wording import either_of, number


def convergence_chart(found: Convergence, column: Column) -> Chart:
    """Best so far by call; the start is shaded, its best a dashed line. With one goal every measurement is a point."""
    single = len(found.goals) == 1
    axes = Axes(
        (0, max(found.calls, 1) * 1.02),
        _reach(found) if single else (0.0, 1.08),
        "oracle calls spent",
        titled(column) if single else "share of the final hypervolume",
    )
    left, edge = (axes.place(at, axes.y[0])[0] for at in (0, found.start_calls))
    shade = element("rect", x=left, y=TOP, width=max(edge - left, 1.0), height=HEIGHT - TOP - BOTTOM, class_="start")
    parts = [shade, axes.frame(), *(_measurements(found, axes) if single else [])]
    for level, look in ((found.target, "dashed"), (found.start, "dashed warm-line")):
        if level is not None:
            parts.append(line([axes.place(0, level), axes.place(axes.x[1], level)], class_=look))
    parts.append(line(_steps(found, axes), class_="best-line"))
    legend = [key("line", "best-line", "best so far")]
    legend += [key("line", "dashed warm-line", "best of the start (shaded)")] if found.start is not None else []
    legend += [key("line", "dashed", "target")] if found.target is not None else []
    if single:
        legend += [key("square", "warm", "start"), key("circle", "cool", "search")]
        legend += [
            key("circle", "cool hollow", "outside a bound"),
            key("cross", "failed", either_of({m.lacking for m in found.measurements if m.value is None} or {"failed"})),
        ]
    picture = drawing(parts, "Best value so far against calls spent")
    return Chart(
        "Convergence",
        picture,
        _gain(found, column) + drawn_of(len(found.measurements) if single else 0),
        tuple(legend),
        wide=True,
    )


def _reach(found: Convergence) -> tuple[float, float]:
    """Range of the one goal's axis: far outliers are drawn on its edge, what counts is inside."""
    values = [m.value for m in found.measurements if m.value is not None]
    low, high = (float(q) for q in np.percentile(values, [2, 98])) if values else (0.0, 1.0)
    target = [] if found.target is None else [found.target]
    return span([low, high, *target, *(value for _, value in found.best)], 0.08)


def _measurements(found: Convergence, axes: Axes) -> list[Markup]:
    parts = []
    for index in thinned(len(found.measurements), MOST_DOTS):
        m = found.measurements[index]
        if m.value is None:
            at, _ = axes.place(m.call, axes.y[0])
            parts.append(marker(at, HEIGHT - BOTTOM - 5, "cross", 2.5, f"{m.formula}: {m.lacking}", class_="failed"))
            continue
        tip = f"{m.formula}: {number(m.value)}, call {m.call}{'' if m.feasible else ', outside a bound'}"
        colour, shape = ("warm", "square") if m.start else ("cool", "circle")
        look = colour if m.feasible else f"{colour} hollow"
        parts.append(marker(*axes.place(m.call, m.value), shape, 3, tip, class_=look))
    return parts


def _steps(found: Convergence, axes: Axes) -> list[tuple[float, float]]:
    places: list[tuple[float, float]] = []
    ends = [*(call for call, _ in found.best[1:]), found.calls]
    for (call, value), until in zip(found.best, ends, strict=False):
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
        said = f"predicted {number(f.mean)} ± {number(half, 2)}, measured {number(f.measured)}"
        tip = f"{f.formula}, round {f.round}: {said}"
        parts.append(element("line", x1=low, x2=high, y1=y, y2=y, class_=f"{colour}-line interval"))
        parts.append(marker(x, y, "circle" if f.inside(90) else "diamond", 3.2, tip, class_=colour))
    inside = sum(f.inside(90) for f in made)
    says = f"{inside} of {len(made)} measured values lie in the interval that should hold 90 % of them."
    says += drawn_of(len(made))
    legend = (
        key("circle", "cool", "inside its 90 % interval"),
        key("diamond", "warm", "outside"),
        key("line", "dashed", "prediction met"),
    )
    return Chart(capital(column.title), drawing(parts, f"Measured against predicted {column.title}"), says, legend)


def calibration_chart(column: Column, found: Sequence[Calibration]) -> Chart:
    """Share of values inside their 50 and 90 % intervals by round, beside what it should be."""
    rounds = [each.first for each in found]
    axes = Axes((min(rounds) - 0.5, max(rounds) + 0.5), (0.0, 1.08), "round", "share inside", round_ticks(rounds))
    parts = [axes.frame()]
    for level, colour, shape in ((90, "cool", "circle"), (50, "warm", "square")):
        parts.append(line([axes.place(x, level / 100) for x in axes.x], class_="dashed"))
        places = [axes.place(each.first, getattr(each, f"coverage_{level}")) for each in found]
        parts.append(line(places, class_=f"{colour}-line"))
        for each, (x, y) in zip(found, places, strict=True):
            share = getattr(each, f"coverage_{level}")
            tip = f"round {rounds_text(each.first, each.last)}: {share:.0%} of {each.n} inside the {level} % interval"
            parts.append(marker(x, y, shape, 3.5, tip, class_=colour))
    legend = (
        key("circle", "cool", "inside the 90 % interval"),
        key("square", "warm", "inside the 50 % interval"),
        key("line", "dashed", "as it should be"),
    )
    total = sum(each.n for each in found)
    score = sum(each.n * each.log_score for each in found) / total
    says = f"{total} predictions; mean log score {number(score, 3)} nats (higher is better)."
    return Chart(capital(column.title), drawing(parts, f"Calibration by round, {column.title}"), says, legend)


def arms_charts(found: Arms) -> tuple[Chart, ...]:
    """Shares of the pool by round, and what each arm earned so far; an arm looks the same in both."""
    names = list(dict.fromkeys([*found.shares, *found.earned]))
    charts = []
    if found.shares:
        series = {name: [(float(n), share) for n, share in each] for name, each in found.shares.items()}
        charts.append(_series("Shares of the pool", series, "share of the pool", names))
    if found.earned:
        counts = {name: [(float(n), float(total)) for n, total in each] for name, each in found.earned.items()}
        charts.append(_series("Earned so far", counts, "candidates in the best quarter", names))
    return tuple(charts)


def _series(title: str, series: Mapping[str, Sequence[tuple[float, float]]], axis: str, names: Sequence[str]) -> Chart:
    rounds = sorted({int(x) for each in series.values() for x, _ in each})
    top = max(y for each in series.values() for _, y in each) or 1.0
    axes = Axes((rounds[0] - 0.4, rounds[-1] + 0.4), (0.0, top * 1.08), "round", axis, round_ticks(rounds))
    parts, legend = [axes.frame()], []
    for name, each in series.items():
        colour, shape = (f"series{names.index(name) % 6}", SHAPES[names.index(name) % len(SHAPES)])
        words = name.replace("_", " ")
        places = [axes.place(x, y) for x, y in each]
        parts.append(line(places, class_=f"{colour}-line"))
        for index in thinned(len(places), 24):
            tip = f"{words}, round {each[index][0]:.0f}: {number(each[index][1], 3)}"
            parts.append(marker(*places[index], shape, 3.5, tip, class_=colour))
        legend.append(key(shape, colour, words))
    return Chart(title, drawing(parts, title), "", tuple(legend))
