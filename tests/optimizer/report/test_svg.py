"""Drawings are text in which nothing is left unescaped."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from report_ledgers import HOSTILE

from optimizer.report.svg import SHAPES, VIRIDIS, Axes, drawing, element, marker, span, ticks, viridis


def test_text_and_attributes_are_escaped():
    text = str(element("text", HOSTILE, class_=HOSTILE, x=1.0))
    parsed = ElementTree.fromstring(text)
    assert (parsed.text, parsed.get("class"), parsed.get("x")) == (HOSTILE, HOSTILE, "1")
    assert len(parsed) == 0


@pytest.mark.parametrize("shape", [*SHAPES, "star"])
def test_every_marker_says_its_tip(shape):
    (mark,) = ElementTree.fromstring(str(drawing([marker(5, 5, shape, 4, HOSTILE)], "a picture")))
    assert mark[0].text == HOSTILE


def test_ticks_are_round_and_inside():
    assert ticks(0, 48) == [0, 10, 20, 30, 40]
    assert ticks(-0.72, 0.31) == pytest.approx([-0.6, -0.4, -0.2, 0.0, 0.2])
    assert ticks(3, 3) == [3]


def test_places_lie_on_the_picture_whatever_the_numbers():
    for values in ([], [2.0], [0.0], [1e9, -1e9], [float("inf"), 1.0]):
        low, high = span(values)
        assert low < high
        axes = Axes((low, high), (low, high), "x", "y")
        ElementTree.fromstring(str(drawing([axes.frame()], "axes")))
        x, y = axes.place(high * 10 + 1, low)
        assert 0 <= x <= 420
        assert 0 <= y <= 300


def test_the_palette_grows_lighter():
    colours = [viridis(k / 40) for k in range(41)]
    assert (colours[0], colours[-1], viridis(7.0)) == (VIRIDIS[0], VIRIDIS[-1], VIRIDIS[-1])
    light = [sum(w * int(c[i : i + 2], 16) for w, i in ((0.2126, 1), (0.7152, 3), (0.0722, 5))) for c in colours]
    assert light == sorted(light)
