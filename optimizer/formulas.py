"""Reduced formulas, as pymatgen writes them, as sets of elements and as fractions."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache

import numpy as np
from numpy.typing import NDArray

from campaigns.elements import SYMBOLS

FORMULA_PART = re.compile(r"([A-Z][a-z]?)([\d.]*)")
GROUPED_PART = re.compile(r"\(([^()]*)\)([\d.]*)")  # "(HoSe2)2" in "Ca(HoSe2)2"
COLUMN_OF = {symbol: column for column, symbol in enumerate(SYMBOLS)}


@cache
def elements_of(formula: str) -> frozenset[str]:
    """The symbols in a reduced formula."""
    return frozenset(symbol for symbol, _ in FORMULA_PART.findall(formula))


def atomic_fractions(formulas: Collection[str]) -> NDArray[np.float64]:
    """Reduced formulas -> atomic fractions `[n, 103]` by atomic number."""
    fractions = np.zeros((len(formulas), len(SYMBOLS)))
    for row, formula in zip(fractions, formulas, strict=True):
        flat = GROUPED_PART.sub(_multiplied, formula)
        for symbol, count in FORMULA_PART.findall(flat):
            row[COLUMN_OF[symbol]] += float(count) if count else 1.0
    return fractions / fractions.sum(axis=1, keepdims=True)


def _multiplied(group: re.Match[str]) -> str:
    """ "(HoSe2)2" -> "Ho2.0Se4.0"."""
    times = float(group[2] or 1)
    return "".join(f"{symbol}{float(count or 1) * times}" for symbol, count in FORMULA_PART.findall(group[1]))
