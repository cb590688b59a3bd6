"""What may be decoded next: symmetry and the search space as masks that look ahead, so that a crystal can be finished.

A position is allowed only while some continuation still meets the atom count, the elements and the formula. The look
ahead treats elements one by one, so with a formula a dead end remains possible; it is then a DecodeFailure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from campaigns.elements import SYMBOLS
from campaigns.spec import SearchSpace
from generative.datasets import MAX_ORBITS
from generative.networks import MAX_POSITIONS, N_ELEMENTS
from generative.symmetry import space_group

STOP = MAX_POSITIONS
UNBOUNDED_ATOMS = 60  # where no search space is given


@cache
def _available(number: int, used: int) -> tuple[tuple[int, bool], ...]:
    """(atoms, repeatable) of each position still open; bit j of `used` marks a fixed position as taken."""
    group = space_group(number)
    return tuple(
        (int(m), bool(d))
        for j, (m, d) in enumerate(zip(group.multiplicities, group.degrees, strict=True))
        if d or not used >> j & 1
    )


@cache
def reachable(number: int, used: int, limit: int) -> int:
    """Bit n is set where n more atoms (0 to `limit`) can be placed exactly."""
    full = (1 << (limit + 1)) - 1
    sums = 1
    for atoms, repeatable in _available(number, used):
        sums |= (sums << atoms) & full
        while repeatable:
            grown = sums | (sums << atoms) & full
            if grown == sums:
                break
            sums = grown
    return sums


@cache
def fewest_atoms(number: int, used: int, orbits: int) -> int:
    """The smallest number of atoms that `orbits` more orbits can hold."""
    sizes: list[int] = []
    for atoms, repeatable in _available(number, used):
        sizes += [atoms] * (orbits if repeatable else 1)
    return sum(sorted(sizes)[:orbits])


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

    def group_mask(self) -> NDArray[np.bool_]:
        """Space groups in which some crystal of the space exists, `[231]`."""
        mask = np.zeros(231, dtype=bool)
        for number in self.groups:
            mask[number] = self._finishable(Partial(number), max(len(self.required), self.fewest, 1))
        return mask

    def _finishable(self, partial: Partial, new_elements: int) -> bool:
        """Can the atom count be met, and `new_elements` more orbits still be placed?"""
        left = self.high - partial.atoms
        if left < 0 or fewest_atoms(partial.number, partial.used, max(new_elements, 0)) > left:
            return False
        if partial.orbits + max(new_elements, 0) > MAX_ORBITS:
            return False
        sums = reachable(partial.number, partial.used, left)
        if self.formula is not None:
            return any(self._fits_formula(partial, sums, k) for k in self.units)
        return sums >> max(self.low - partial.atoms, 0) != 0

    def _fits_formula(self, partial: Partial, sums: int, units: int) -> bool:
        assert self.formula is not None
        missing = [units * n - partial.counts.get(z, 0) for z, n in self.formula.items()]
        return all(n >= 0 and sums >> n & 1 for n in missing)

    def _new_needed(self, partial: Partial) -> int:
        """How many more orbits must bring an element that is not there yet."""
        return max(len(self.required - partial.counts.keys()), self.fewest - len(partial.counts), 0)

    def position_mask(self, partial: Partial) -> NDArray[np.bool_]:
        """`[28]`, the last is stop."""
        mask = np.zeros(MAX_POSITIONS + 1, dtype=bool)
        mask[STOP] = self._complete(partial)
        if partial.orbits < MAX_ORBITS:
            group = space_group(partial.number)
            for j in range(len(group.positions)):
                if group.degrees[j] or not partial.used >> j & 1:
                    mask[j] = bool(self.element_mask(partial, j).any())
        return mask

    def _complete(self, partial: Partial) -> bool:
        if not partial.orbits or not self.low <= partial.atoms <= self.high or self._new_needed(partial):
            return False
        if self.formula is None:
            return True
        return any(all(partial.counts.get(z) == k * n for z, n in self.formula.items()) for k in self.units)

    def element_mask(self, partial: Partial, position: int) -> NDArray[np.bool_]:
        """`[104]` elements that may occupy `position` next."""
        mask = np.zeros(N_ELEMENTS, dtype=bool)
        present = list(partial.counts)
        if self.formula is not None:
            for z in self.formula:
                mask[z] = self._finishable(partial.with_orbit(position, z), 0)
            return mask
        needed = self._new_needed(partial)
        absent = self.required - partial.counts.keys()
        room = self.most - len(present)
        if room > 0:  # bring a new element
            brings_required = self._finishable(partial.with_orbit(position, -1), needed - 1)
            if brings_required:
                mask |= self.allowed
            if len(absent) >= min(room, needed) and absent:
                only = np.zeros_like(mask)
                if brings_required:
                    only[list(absent)] = True
                if len(absent) >= room or not self._finishable(partial.with_orbit(position, -1), len(absent)):
                    mask = only
            mask[present] = False
        if present and self._finishable(partial.with_orbit(position, present[0]), needed):
            mask[present] = True
        return mask


def _numbers(symbols: Iterable[str]) -> frozenset[int]:
    return frozenset(SYMBOLS.index(s) + 1 for s in symbols)
