"""Which elements were tried and which won, and where each stands in the periodic table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pymatgen.core import Element, Structure

from campaigns.elements import SYMBOLS
from campaigns.spec import CampaignSpec
from optimizer.report.snapshot import Snapshot

F_BLOCK_GAP = 0.4  # rows between the table and the lanthanides below it


@dataclass(frozen=True)
class ElementTally:
    """How many evaluated candidates hold the element, and how many of those in the list that are feasible.

    `column` 0 to 17 and `row` from 0 give its place, the f block below the others; `allowed` is the search space's.
    """

    symbol: str
    column: float
    row: float
    tried: int
    won: int
    allowed: bool


def periodic_table(snapshot: Snapshot, winners: Sequence[Structure]) -> tuple[ElementTally, ...]:
    """Every element up to lawrencium; `winners` are the feasible crystals of the list."""
    tried = _tally(each.crystal for each in snapshot.evaluated)
    won = _tally(winners)
    allowed = _allowed(snapshot.spec)
    return tuple(
        ElementTally(symbol, *_place(symbol), tried[symbol], won[symbol], symbol in allowed)
        for symbol in SYMBOLS
        if Element(symbol).Z <= 103
    )


def _tally(crystals) -> Counter[str]:
    return Counter(str(symbol) for crystal in crystals for symbol in crystal.composition.get_el_amt_dict())


def _allowed(spec: CampaignSpec) -> frozenset[str]:
    counts = spec.space.formula_counts
    return frozenset(counts) if counts else spec.space.elements.allowed


def _place(symbol: str) -> tuple[float, float]:
    element = Element(symbol)
    if 57 <= element.Z <= 71:
        return element.Z - 57 + 2.0, 7 + F_BLOCK_GAP
    if 89 <= element.Z <= 103:
        return element.Z - 89 + 2.0, 8 + F_BLOCK_GAP
    return element.group - 1.0, element.row - 1.0
