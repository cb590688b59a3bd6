"""Drawings as text: SVG elements in which everything is escaped, axes with round ticks, the palettes.

Colours are classes of the page's style sheet, so that a chart follows a dark screen. Categories are told apart by
Okabe & Ito's colours (jfly.uni-koeln.de/color, 2008) and by the shape of their marker; numbers by viridis (S. van der
Walt and N. Smith, 2015, CC0), whose lightness alone tells its order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 12, 42
SHAPES = ("circle", "square", "triangle", "diamond", "down", "cross")
VIRIDIS = (  # 17 of its 256 colours, evenly spaced
    *("#440154", "#48186a", "#472d7b", "#424086", "#3b528b", "#33638d", "#2c728e", "#26828e", "#21918c"),
    *("#1fa088", "#28ae80", "#3fbc73", "#5ec962", "#84d44b", "#addc30", "#d8e219", "#fde725"),
)


def element(name: str, *inside: object, **attributes: object) -> Markup:
    """`<name attribute="value">inside</name>`; text and values are escaped, what is Markup already stays.

    `class_` becomes `class`, other underscores become hyphens; attributes that are None are left out.
    """
    named = (
        (key.rstrip("_").replace("_", "-"), _text(value)) for key, value in attributes.items() if value is not None
    )
    written = Markup("").join(Markup(' {}="{}"').format(key, value) for key, value in named)
    body = Markup("").join(escape(each) for each in inside)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, body)


def _text(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def group(parts: Iterable[Markup], **attributes: object) -> Markup:
    return element("g", *parts, **attributes)


def drawing(parts: Iterable[Markup], label: str, width: int = WIDTH, height: int = HEIGHT) -> Markup:
    """The whole picture; `label` is what a screen reader says."""
    return element("svg", *parts, viewBox=f"0 0 {width} {height}", role="img", aria_label=label)


def marker(x: float, y: float, shape: str, size: float = 4.0, tip: str = "", **attributes: object) -> Markup:
    """A point; `tip` is shown when it is pointed at or touched."""
    r = size
    inside = [element("title", tip)] if tip else []
    if shape == "circle":
        return element("circle", *inside, cx=x, cy=y, r=r, **attributes)
    corners = {
        "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        "triangle": ((0, -1.2), (1.1, 0.8), (-1.1, 0.8)),
        "down": ((0, 1.2), (1.1, -0.8), (-1.1, -0.8)),
        "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        "star": tuple(
            (
                (1.7 if k % 2 == 0 else 0.7) * math.sin(math.pi * k / 5),
                (-1.7 if k % 2 == 0 else -0.7) * math.cos(math.pi * k / 5),
            )
            for k in range(10)
        ),
    }
    if shape == "cross":
        path = f"M{x - r:.2f} {y - r:.2f}l{2 * r:.2f} {2 * r:.2f}m0 {-2 * r:.2f}l{-2 * r:.2f} {2 * r:.2f}"
        return element("path", *inside, d=path, fill="none", stroke_width=1.6, **attributes)
    points = " ".join(f"{x + r * dx:.2f},{y + r * dy:.2f}" for dx, dy in corners[shape])
    return element("polygon", *inside, points=points, **attributes)


def line(places: Sequence[tuple[float, float]], **attributes: object) -> Markup:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return element("polyline", points=points, fill="none", **attributes)


def viridis(share: float) -> str:
    """Colour of a number in [0, 1], between the two nearest of the table."""
    place = min(max(share, 0.0), 1.0) * (len(VIRIDIS) - 1)
    low = min(int(place), len(VIRIDIS) - 2)
    ends = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in VIRIDIS[low : low + 2]]
    mixed = [round(a + (b - a) * (place - low)) for a, b in zip(*ends, strict=True)]
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round numbers inside [low, high], 1, 2 or 5 times a power of ten apart."""
    span = high - low
    if not span > 0:
        return [low]
    rough = span / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_text(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def span(values: Iterable[float], margin: float = 0.05) -> tuple[float, float]:
    """Lowest and highest with a margin; a span of its own where there is one value, or none."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    reach = (high - low) * margin or abs(high) * 0.1 or 1.0
    return low - reach, high + reach


@dataclass(frozen=True)
class Axes:
    """A frame with its ranges: numbers to places on the picture, ticks, and the names of both axes."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_title: str
    y_title: str
    x_ticks: tuple[float, ...] | None = None

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Numbers beyond the frame are drawn on its edge."""
        across = min(max((x - self.x[0]) / ((self.x[1] - self.x[0]) or 1.0), 0.0), 1.0)
        up = min(max((y - self.y[0]) / ((self.y[1] - self.y[0]) or 1.0), 0.0), 1.0)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def frame(self) -> Markup:
        """Grid, ticks and titles, to be drawn first."""
        parts = []
        for value in self.x_ticks if self.x_ticks is not None else ticks(*self.x):
            at, _ = self.place(value, self.y[0])
            parts.append(element("line", x1=at, x2=at, y1=TOP, y2=HEIGHT - BOTTOM, class_="grid"))
            parts.append(element("text", tick_text(value), x=at, y=HEIGHT - BOTTOM + 15, text_anchor="middle"))
        for value in ticks(*self.y):
            _, at = self.place(self.x[0], value)
            parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="grid"))
            parts.append(element("text", tick_text(value), x=LEFT - 6, y=at + 4, text_anchor="end"))
        middle = TOP + (HEIGHT - TOP - BOTTOM) / 2
        parts.append(
            element(
                "text", self.x_title, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8, text_anchor="middle", class_="axis"
            )
        )
        turned = f"rotate(-90 13 {middle:.0f})"
        parts.append(
            element("text", self.y_title, x=13, y=middle, transform=turned, text_anchor="middle", class_="axis")
        )
        return group(parts, class_="frame")
