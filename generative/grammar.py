"""What may be decoded next: symmetry and the search space as masks that look ahead, so that a crystal can be finished.

An orbit is allowed only while some continuation still meets the atom count, the elements and the formula within the
limit on orbits. The look ahead is exact: a space group that is open at the start never leads to a dead end.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from campaigns.elements import SYMBOLS
from campaigns.search_space import SearchSpace
from generative.datasets import MAX_ORBITS
from generative.site_embedding import N_ELEMENTS
from generative.sites import MAX_POSITIONS
from generative.symmetry import space_group

STOP = MAX_POSITIONS
UNBOUNDED_ATOMS = 60  # where no search space is given


@cache
def _open_positions(number: int, used: int) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """(atoms, how many) of the fixed positions still open, and the atoms of those that may be repeated.

    Bit j of `used` marks fixed position j as taken.
    """
    group = space_group(number)
    sizes = list(zip(group.multiplicities.tolist(), group.degrees.tolist(), strict=True))
    fixed = Counter(atoms for j, (atoms, free) in enumerate(sizes) if not free and not used >> j & 1)
    return tuple(sorted(fixed.items())), tuple(sorted({atoms for atoms, free in sizes if free}))


@cache
def reachable(number: int, used: int, limit: int) -> tuple[int, ...]:
    """Entry k: bit n is set where exactly k more orbits can hold exactly n atoms (n up to `limit`, k to MAX_ORBITS)."""
    fixed, repeatable = _open_positions(number, used)
    full = (1 << (limit + 1)) - 1
    sums = [1] + [0] * MAX_ORBITS
    for atoms in (size for size, count in fixed for _ in range(count)):
        for k in range(MAX_ORBITS, 0, -1):
            sums[k] |= (sums[k - 1] << atoms) & full
    for atoms in repeatable:
        for k in range(1, MAX_ORBITS + 1):
            sums[k] |= (sums[k - 1] << atoms) & full
    return tuple(sums)


@cache
def fewest_orbits(number: int, used: int, amounts: tuple[int, ...]) -> float:
    """The smallest number of orbits that hold `amounts` atoms, one entry an element; infinite where none do."""
    fixed, repeatable = _open_positions(number, used)
    return _fewest(fixed, repeatable, amounts)


@cache
def _fewest(fixed: tuple[tuple[int, int], ...], repeatable: tuple[int, ...], amounts: tuple[int, ...]) -> float:
    if not amounts:
        return 0
    best = math.inf
    for taken in itertools.product(*(range(min(count, amounts[0] // atoms) + 1) for atoms, count in fixed)):
        rest = amounts[0] - sum(n * atoms for n, (atoms, _) in zip(taken, fixed, strict=True))
        mine = sum(taken) + _fewest_repeated(repeatable, rest)
        if mine < best:
            left = tuple((atoms, count - n) for n, (atoms, count) in zip(taken, fixed, strict=True))
            best = min(best, mine + _fewest(left, repeatable, amounts[1:]))
    return best


@cache
def _fewest_repeated(repeatable: tuple[int, ...], atoms: int) -> float:
    if atoms <= 0:
        return 0 if atoms == 0 else math.inf
    return 1 + min((_fewest_repeated(repeatable, atoms - size) for size in repeatable), default=math.inf)


@dataclass(frozen=True)
class Partial:
    """A crystal decoded so far: space group, atoms, orbits, taken fixed positions (bits), atoms of each element."""

    number: int
    atoms: int = 0
    orbits: int = 0
    used: int = 0
    counts: dict[int, int] = field(default_factory=dict)

    def with_orbit(self, position: int, element: int) -> Partial:
        group = space_group(self.number)
        atoms = int(group.multiplicities[position])
        used = self.used if group.degrees[position] else self.used | 1 << position
        counts = {**self.counts, element: self.counts.get(element, 0) + atoms}
        return Partial(self.number, self.atoms + atoms, self.orbits + 1, used, counts)


class Grammar:
    """Masks for one search space."""

    def __init__(self, within: SearchSpace | None) -> None:
        space = within or SearchSpace(n_atoms={"low": 1, "high": UNBOUNDED_ATOMS})
        everything = within is None
        self.low, self.high = space.n_atoms.low, space.n_atoms.high
        self.fewest, self.most = (1, N_ELEMENTS) if everything else (space.n_elements.low, space.n_elements.high)
        allowed = frozenset(SYMBOLS) if everything else space.elements.allowed
        self.required = _numbers(space.elements.required)
        self.groups = space.space_groups or tuple(range(1, 231))
        formula = space.formula_counts
        self.formula = {SYMBOLS.index(s) + 1: n for s, n in formula.items()} if formula else None
        if self.formula is not None:
            size = sum(self.formula.values())
            self.units = [k for k in range(1, self.high // size + 1) if self.low <= k * size]
            allowed = frozenset(formula or ())
        self.allowed = np.zeros(N_ELEMENTS, dtype=bool)
        self.allowed[list(_numbers(allowed))] = True
        self._positions: dict[Hashable, NDArray[np.bool_]] = {}
        self._ways: dict[Hashable, tuple[bool, bool, bool]] = {}

    def group_mask(self) -> NDArray[np.bool_]:
        """Space groups in which some crystal of the space exists, `[231]`."""
        mask = np.zeros(231, dtype=bool)
        for number in self.groups:
            mask[number] = self._finishable(Partial(number), max(len(self.required), self.fewest, 1))
        return mask

    def _finishable(self, partial: Partial, new_elements: int) -> bool:
        """Can the atom count, and the formula, be met with at least `new_elements` more orbits?"""
        orbits_left = MAX_ORBITS - partial.orbits
        if partial.atoms > self.high or new_elements > orbits_left:
            return False
        if self.formula is not None:
            return any(self._fits_formula(partial, units, orbits_left) for units in self.units)
        sums = reachable(partial.number, partial.used, self.high)
        window = ((1 << (self.high - partial.atoms + 1)) - 1) >> (low := max(self.low - partial.atoms, 0)) << low
        return any(sums[k] & window for k in range(new_elements, orbits_left + 1))

    def _fits_formula(self, partial: Partial, units: int, orbits_left: int) -> bool:
        assert self.formula is not None
        missing = [units * n - partial.counts.get(z, 0) for z, n in self.formula.items()]
        return min(missing) >= 0 and fewest_orbits(partial.number, partial.used, tuple(missing)) <= orbits_left

    def _new_needed(self, partial: Partial) -> int:
        """How many more orbits must bring an element that is not there yet."""
        return max(len(self.required - partial.counts.keys()), self.fewest - len(partial.counts), 0)

    def _state(self, partial: Partial) -> Hashable:
        """All that the masks depend on: crystals in one state share them."""
        if self.formula is not None:
            seen: Hashable = tuple(sorted(partial.counts.items()))
        else:
            seen = len(partial.counts), frozenset(self.required & partial.counts.keys())
        return partial.number, partial.used, partial.atoms, partial.orbits, seen

    def position_mask(self, partial: Partial) -> NDArray[np.bool_]:
        """`[28]`, the last is stop. Read only."""
        state = self._state(partial)
        mask = self._positions.get(state)
        if mask is None:
            mask = self._positions[state] = self._position_mask(partial)
        return mask

    def _position_mask(self, partial: Partial) -> NDArray[np.bool_]:
        mask = np.zeros(MAX_POSITIONS + 1, dtype=bool)
        mask[STOP] = self._complete(partial)
        if partial.orbits < MAX_ORBITS:
            group, alike = space_group(partial.number), dict[tuple[int, int], bool]()
            for j, kind in enumerate(zip(group.multiplicities.tolist(), group.degrees.tolist(), strict=True)):
                if kind[1] or not partial.used >> j & 1:
                    if kind not in alike:  # positions of one size and freedom leave the same ways to go on
                        alike[kind] = bool(self.element_mask(partial, j).any())
                    mask[j] = alike[kind]
        return mask

    def _complete(self, partial: Partial) -> bool:
        if not partial.orbits or not self.low <= partial.atoms <= self.high or self._new_needed(partial):
            return False
        if self.formula is None:
            return True
        return any(all(partial.counts.get(z) == k * n for z, n in self.formula.items()) for k in self.units)

    def element_mask(self, partial: Partial, position: int) -> NDArray[np.bool_]:
        """`[104]` elements that may occupy `position` next."""
        if self.formula is not None:
            mask = np.zeros(N_ELEMENTS, dtype=bool)
            for z in self.formula:
                mask[z] = self._finishable(partial.with_orbit(position, z), 0)
            return mask
        key = self._state(partial), position
        ways = self._ways.get(key)
        if ways is None:
            ways = self._ways[key] = self._element_ways(partial, position)
        new, again, awaited = ways
        mask = self.allowed.copy() if new else np.zeros(N_ELEMENTS, dtype=bool)
        mask[list(partial.counts)] = again
        if self.required:
            mask[list(self.required - partial.counts.keys())] = awaited
        return mask

    def _element_ways(self, partial: Partial, position: int) -> tuple[bool, bool, bool]:
        """May a new element, one that is there, a required one that is not yet there occupy `position` next?"""
        present, absent = len(partial.counts), len(self.required - partial.counts.keys())
        room, needed = self.most - present, self.fewest - present
        after = partial.with_orbit(position, 0)  # which element it is changes nothing below
        return (
            room > absent and self._finishable(after, max(absent, needed - 1, 0)),
            bool(present) and self._finishable(after, max(absent, needed, 0)),
            room > 0 and self._finishable(after, max(absent - 1, needed - 1, 0)),
        )


@cache
def unrestricted() -> Grammar:
    """The grammar without a search space; kept, because its masks are."""
    return Grammar(None)


def _numbers(symbols: Iterable[str]) -> frozenset[int]:
    return frozenset(SYMBOLS.index(s) + 1 for s in symbols)
