"""The structure types that known crystals share, and which of them a set of elements most likely takes.

`data/prototypes.npz` holds one crystal of each type with at most three elements and 20 atoms in the primitive cell that
occurs among the 17,284 crystals of the bundled reference table, as a canonical Wyckoff code, and the elements' volumes
(`optimizer.prototype_build` makes it). A type is a space group with the Wyckoff positions that each role occupies; free
coordinates and the shape of the cell are those of its most typical member until something relaxes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import files
from itertools import permutations
from math import gcd

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Element, Structure

from campaigns.elements import SYMBOLS
from generative.canonical import WyckoffCode
from generative.datasets import Codes
from generative.protocols import DecodeFailure
from generative.representations.wyckoff import crystal_of, fingerprint_of
from generative.symmetry import mendeleev_rank, space_group
from optimizer.known_formulas import known_formulas
from optimizer.references import ReferenceTable

FILE = "data/prototypes.npz"
REACH = 4.0
"""Places on Pettifor's order at which a known crystal of the type counts an eighth for others. Of 300 binary
and 300 ternary crystals left out in turn, the true type is among the likeliest three of its formula for 53 and 71 %."""
POLAR = 1.2
Z = {symbol: number for number, symbol in enumerate(SYMBOLS, 1)}


def type_of(fingerprint: str) -> tuple[str, tuple[str, ...]]:
    """The structure type in a fingerprint and the element in each role: `225:ClNa:4a-Na,4b-Cl` -> `225:4a-A,4b-B`,
    (Na, Cl). Roles are numbered in the order of the canonical code."""
    group, _, positions = fingerprint.split(":")
    roles: dict[str, str] = {}
    words = []
    for position in positions.split(","):
        place, _, element = position.partition("-")
        words.append(f"{place}-{roles.setdefault(element, chr(ord('A') + len(roles)))}")
    return f"{group}:{','.join(words)}", tuple(roles)


def polar(numbers: Iterable[int]) -> bool:
    """Whether the electronegativities (Pauling) of elements by atomic number differ by more than POLAR: magnesium takes
    half the room beside oxygen that it takes beside gold."""
    values = [Element.from_Z(number).X for number in set(numbers)]
    return max(values) - min(values) > POLAR


@dataclass(frozen=True)
class Decoration:
    """One structure type with elements put into its roles. `score` counts the known crystals of the type, each by how
    near its elements are to these; `formula_known` where some Materials Project crystal has the formula."""

    prototype: str
    elements: tuple[str, ...]
    formula: str
    formula_known: bool
    score: float


@dataclass(frozen=True, eq=False)
class Prototypes:
    """The library: `codes` of the representatives, `volumes_ang3 [2, 103]` of the elements in metallic and in polar
    compounds (`polar`)."""

    codes: Codes
    volumes_ang3: NDArray[np.float64]

    @cached_property
    def rows(self) -> dict[str, int]:
        """Structure type -> its place in `codes`."""
        return {type_of(fingerprint_of(self.codes.code(i)))[0]: i for i in range(len(self.codes))}

    def decorations(self, symbols: Iterable[str], table: ReferenceTable) -> Iterator[Decoration]:
        """Every type with as many roles as there are symbols, in every assignment of which `table` does not hold the
        energy already, likeliest first. The order depends on nothing but the symbols."""
        symbols = tuple(sorted(symbols))
        labels, kind, ranks = _members(len(symbols))
        rows = (row for row in table.rows_within(symbols) if table.fingerprints[row])
        taken = {type_of(table.fingerprints[row]) for row in rows if np.isfinite(table.energies_ev_atom[row])}
        rank, formulas = mendeleev_rank(), known_formulas()
        found = []
        for elements in permutations(symbols):
            target = np.array([rank[Z[symbol]] for symbol in elements])
            near = (1 + np.abs(ranks - target).sum(axis=1) / REACH) ** -3
            scores = np.bincount(kind, near, minlength=len(labels))
            for row in np.flatnonzero(scores > 0):
                if (labels[row], elements) in taken:
                    continue
                formula = self._formula(labels[row], elements)
                found.append(Decoration(labels[row], elements, formula, formula in formulas, float(scores[row])))
        return iter(sorted(found, key=lambda d: (-d.score, d.prototype, d.elements)))

    def crystal(self, prototype: str, elements: tuple[str, ...]) -> Structure | DecodeFailure:
        """The primitive cell with these elements in the roles, its volume scaled by theirs. Raises KeyError for a type
        that is not in the library."""
        code = self.codes.code(self.rows[prototype])
        roles = list(dict.fromkeys(code.elements.tolist()))
        numbers = np.array([Z[elements[roles.index(number)]] for number in code.elements.tolist()])
        counts = space_group(code.space_group).multiplicities[code.positions]
        ratio = self._volume(counts, numbers) / self._volume(counts, code.elements)
        lattice = code.lattice.copy()
        lattice[:3] *= np.cbrt(ratio)
        return crystal_of(replace(code, elements=numbers, lattice=lattice))

    def _volume(self, counts: NDArray[np.int64], numbers: NDArray[np.int64]) -> float:
        """A sum over atoms, in cubic angstrom."""
        return float(counts @ self.volumes_ang3[int(polar(numbers.tolist())), numbers - 1])

    def _formula(self, prototype: str, elements: tuple[str, ...]) -> str:
        amounts = _amounts(self.codes.code(self.rows[prototype]))
        return _reduced(tuple(zip(elements, amounts, strict=True)))


@cache
def prototypes() -> Prototypes:
    """The bundled library, read once per process."""
    with files("optimizer").joinpath(FILE).open("rb") as file, np.load(file) as stored:
        codes = Codes(**{name: stored[name].astype(_type(name)) for name in Codes.__dataclass_fields__})
        return Prototypes(codes, stored["volumes_ang3"])


def _type(name: str) -> type[np.float64] | type[np.int64]:
    return np.float64 if name in ("coords", "lattice") else np.int64


@cache
def _members(n: int) -> tuple[list[str], NDArray[np.int64], NDArray[np.float64]]:
    """Types of n roles in the library; then, of the bundled table's crystals of these types, which type `[m]` and the
    chemical rank of each role `[m, n]`."""
    rows, rank = prototypes().rows, mendeleev_rank()
    table = ReferenceTable.load()
    named = [type_of(text) for text in table.fingerprints if text]
    named = [(label, elements) for label, elements in named if len(elements) == n and label in rows]
    labels = sorted({label for label, _ in named})
    place = {label: i for i, label in enumerate(labels)}
    kind = np.array([place[label] for label, _ in named], dtype=np.int64)
    ranks = np.array([[float(rank[Z[symbol]]) for symbol in elements] for _, elements in named]).reshape(-1, n)
    return labels, kind, ranks


def _amounts(code: WyckoffCode) -> list[int]:
    """Atoms of each role, without a common divisor."""
    counts: dict[int, int] = {}
    for size, number in zip(space_group(code.space_group).multiplicities[code.positions], code.elements, strict=True):
        counts[int(number)] = counts.get(int(number), 0) + int(size)
    divisor = gcd(*counts.values())
    return [count // divisor for count in counts.values()]


@cache
def _reduced(amounts: tuple[tuple[str, int], ...]) -> str:
    return Composition(dict(amounts)).reduced_formula
