"""What a genetic algorithm does to crystals: exchange elements, cross two of them, change the prototype.

A crystal is its Wyckoff code. Cells are scaled by the volumes of their atoms, as in ionic substitution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from generative.augmentation import exchange_chances
from generative.canonical import WyckoffCode, canonical_code
from generative.representations.wyckoff import crystal_of, lattice_matrix
from generative.symmetry import mendeleev_rank, space_group

LEAST_OF_ANIONS = 2.5  # Pauling electronegativity


@dataclass(frozen=True)
class Chemistry:
    """Allowed atomic numbers, and the volume of one atom of each element (cubic angstrom), `[104]`."""

    allowed: tuple[int, ...]
    volumes: NDArray[np.float64]

    def similar(self, z: int, rng: np.random.Generator, distant: float) -> int:
        """An element that is found in the place of z in known compounds; with probability `distant` any of its side,
        anions for anions and cations for cations."""
        likely = exchange_chances(self.allowed)
        if z in likely and len(likely[z][0]) and rng.random() >= distant:
            choices, weights = likely[z]
            return int(rng.choice(choices, p=weights / weights.sum()))
        side = [other for other in self.allowed if _anion(other) == _anion(z)]
        return int(rng.choice(side or self.allowed))


def _anion(z: int) -> bool:
    """A nonmetal more electronegative than 2.5: C, N, O, F, S, Cl, Se, Br, I."""
    element = Element.from_Z(z)
    return bool(element.X > LEAST_OF_ANIONS and not element.is_metal)


def electronegativity_order(elements: NDArray[np.int64]) -> list[int]:
    """The different elements, least electronegative first."""
    different = sorted({int(z) for z in elements})
    return sorted(different, key=lambda z: (Element.from_Z(z).X, mendeleev_rank()[z]))


def mutated(code: WyckoffCode, chemistry: Chemistry, rng: np.random.Generator, distant: float) -> WyckoffCode | None:
    """One element exchanged on one orbit or, as often, wherever it stands."""
    elements = code.elements.copy()
    place = int(rng.integers(len(elements)))
    new = chemistry.similar(int(elements[place]), rng, distant)
    if rng.random() < 0.5:
        elements[elements == elements[place]] = new
    else:
        elements[place] = new
    return decorated(code, elements, chemistry)


def crossed(one: WyckoffCode, other: WyckoffCode, chemistry: Chemistry, rng: np.random.Generator) -> WyckoffCode | None:
    """The prototype of the first parent. Orbit by orbit the element of either where both have the same prototype, else
    of elements in the same place of the order of electronegativity."""
    if one.space_group == other.space_group and np.array_equal(one.positions, other.positions):
        elements = np.where(rng.random(len(one.elements)) < 0.5, one.elements, other.elements)
        return decorated(one, elements, chemistry)
    mine, theirs = electronegativity_order(one.elements), electronegativity_order(other.elements)
    exchange = {z: theirs[round(i * (len(theirs) - 1) / max(1, len(mine) - 1))] for i, z in enumerate(mine)}
    taken = {z for z in mine if rng.random() < 0.5}
    elements = np.array([exchange[z] if z in taken else z for z in one.elements.tolist()])
    return decorated(one, elements, chemistry)


def on_prototype(
    code: WyckoffCode, prototype: WyckoffCode, chemistry: Chemistry, rng: np.random.Generator
) -> WyckoffCode | None:
    """The elements of `code` on another prototype, in the order of electronegativity; the two least electronegative
    change places half of the time."""
    mine, places = electronegativity_order(code.elements), electronegativity_order(prototype.elements)
    if len(mine) > 1 and rng.random() < 0.5:
        mine[:2] = mine[1], mine[0]
    if len(mine) > len(places):
        mine = mine[: len(places)]
    exchange = {z: mine[min(i, len(mine) - 1)] for i, z in enumerate(places)}
    return decorated(prototype, np.array([exchange[z] for z in prototype.elements.tolist()]), chemistry)


def decorated(code: WyckoffCode, elements: NDArray[np.int64], chemistry: Chemistry) -> WyckoffCode | None:
    """Other elements on the orbits of `code`, the cell scaled; None where they are its own."""
    if np.array_equal(elements, code.elements):
        return None
    counts = space_group(code.space_group).multiplicities[code.positions]
    growth = (counts * chemistry.volumes[elements]).sum() / (counts * chemistry.volumes[code.elements]).sum()
    cell = lattice_matrix(code.lattice) * growth ** (1 / 3)
    return canonical_code(code.space_group, code.positions, elements, code.coords, cell)


def tournament(merits: Sequence[float], size: int, rng: np.random.Generator) -> int:
    """Index of the best of `size` drawn with replacement."""
    drawn = rng.integers(len(merits), size=size)
    return int(max(drawn.tolist(), key=lambda i: (merits[i], -i)))


def structure(code: WyckoffCode) -> Structure | None:
    """The crystal of a code; None where its cell closes no volume."""
    found = crystal_of(code)
    return found if isinstance(found, Structure) else None
