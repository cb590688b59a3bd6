"""What every chart of a report is made of: picture, legend, words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from optimizer.report.listing import Column
from optimizer.report.svg import element, line, marker, ticks

MOST_DOTS = 700


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


def drawn_of(count: int) -> str:
    """A sentence where not every point can be drawn."""
    return f" {MOST_DOTS} of {count} are drawn, evenly." if count > MOST_DOTS else ""


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


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


def round_ticks(rounds: Sequence[int]) -> tuple[float, ...]:
    """Whole rounds to be marked on an axis, eight or so at most."""
    low, high = min(rounds), max(rounds)
    if high - low < 8:
        return tuple(float(n) for n in range(low, high + 1))
    return tuple(n for n in ticks(low, high) if n.is_integer())


def rounds_text(first: int, last: int) -> str:
    """ "3", or "3–5" for a block of rounds."""
    return str(first) if first == last else f"{first}–{last}"
