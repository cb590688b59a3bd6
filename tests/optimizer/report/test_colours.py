"""The page's colours, light and dark: text can be read, and what differs by colour differs to those who cannot tell red
from green."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import combinations

import numpy as np
import pytest

CSS = files("optimizer").joinpath("report/templates/page.css").read_text("utf-8")
SCHEMES = dict(zip(("light", "dark"), re.findall(r":root \{(.*?)\}", CSS, re.DOTALL), strict=True))
# G. M. Machado et al., IEEE Trans. Vis. Comput. Graph. 15, 1291 (2009), severity 1, of linear RGB
SEEN_BY = {
    "everyone": np.eye(3),
    "protanopes": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopes": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> np.ndarray:
    s = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG's ratio of luminances."""
    low, high = sorted(float(TO_XYZ[1] @ linear(each)) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(colour: str, seen_by: str) -> np.ndarray:
    seen = np.clip(np.asarray(SEEN_BY[seen_by]) @ linear(colour), 0, 1)
    x, y, z = np.cbrt(np.maximum(TO_XYZ @ seen / (TO_XYZ @ np.ones(3)), 1e-6))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def colours(scheme: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", SCHEMES[scheme]))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_stands_out_from_what_is_behind_it(scheme):
    found = colours(scheme)
    ratios = {
        (text, ground): contrast(found[text], found[ground])
        for text in ("ink", "muted", "link", "doubt")
        for ground in ("ground", "panel")
    }
    assert min(ratios.values()) >= 4.5, ratios


@pytest.mark.parametrize("seen_by", SEEN_BY)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_colours_that_mean_different_things_look_different(scheme, seen_by):
    """Marks differ in shape as well; 10 is four times what can just be told apart."""
    found = colours(scheme)
    pairs = [("cool", "warm"), *combinations(("s0", "s1", "s2", "s3", "s4", "s5"), 2)]
    apart = {pair: float(np.linalg.norm(lab(found[pair[0]], seen_by) - lab(found[pair[1]], seen_by))) for pair in pairs}
    assert apart["cool", "warm"] > 40
    assert min(apart.values()) > 10, sorted(apart.items(), key=lambda item: item[1])[:3]
