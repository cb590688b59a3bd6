"""Which decoded crystals may go to the oracles: inside the search space, unique in the campaign, not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pymatgen.core import Structure

from campaigns.records import FailureCode
from campaigns.search_space import SearchSpace
from generative.protocols import DecodeFailure, EncodeFailure
from generative.representations.wyckoff import fingerprint
from optimizer.references import ReferenceTable
from optimizer.screening import screen


@dataclass(frozen=True)
class Admitted:
    """A crystal that passed, with its place in the list it came from."""

    index: int
    crystal: Structure


def in_words(refused: Counter[FailureCode]) -> str:
    """How many were refused, by which code; most first."""
    return ", ".join(f"{code.value} {count}" for code, count in refused.most_common())


def admit(
    decoded: Sequence[Structure | DecodeFailure],
    space: SearchSpace,
    references: ReferenceTable,
    seen: set[str],
    *,
    allow_known: bool = False,
) -> tuple[list[Admitted], Counter[FailureCode]]:
    """Those that pass every screen, in order, and how many failed by which code.

    `seen` holds the fingerprints of the campaign's crystals; those admitted are added to it.
    """
    admitted: list[Admitted] = []
    failures: Counter[FailureCode] = Counter()
    for index, crystal in enumerate(decoded):
        if isinstance(crystal, DecodeFailure):
            failures[crystal.code] += 1
            continue
        refused = screen(crystal, space)
        if refused is not None:
            failures[refused.code] += 1
            continue
        mark = fingerprint(crystal)
        if isinstance(mark, EncodeFailure):
            failures[mark.code] += 1
        elif mark in seen:
            failures[FailureCode.DUPLICATE] += 1
        elif not allow_known and references.is_known(mark):
            failures[FailureCode.KNOWN] += 1
        else:
            seen.add(mark)
            admitted.append(Admitted(index, crystal))
    return admitted, failures
