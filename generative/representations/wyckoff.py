"""Crystals as Wyckoff sequences: space group, orbits (letter, element, free coordinates), free lattice parameters.

Encoding gives one canonical code per crystal (see `generative.canonical`); decoding a code always gives a crystal of
the space group it names, or a higher one where coordinates happen to coincide with a more special position.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import moyopy
import numpy as np
from pydantic import Field
from pymatgen.core import Composition, Element, Lattice, Structure

from campaigns.elements import SYMBOLS
from campaigns.records import FailureCode
from campaigns.spec import Strict
from generative.canonical import WyckoffCode, canonical_code
from generative.protocols import DecodeFailure, EncodeFailure
from generative.sites import cell_matrices, place, primitive_cells
from generative.symmetry import Array, space_group

DEFAULT_SYMPREC_ANG = 0.1
REMEMBERED = 8192  # codes, some kB each: a crystal is screened, encoded and described one after the other
SMALLEST_ANG3, SHORTEST_ANG = 0.5, 0.8  # volume per atom, edge: below, moyopy may search for ever among the images


def _not_about_supercells(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Omitted ")


# moyopy warns, for every supercell, that its orbits are those of the primitive cell: just what is wanted here
logging.getLogger("moyo").addFilter(_not_about_supercells)

# pymatgen sorts formulas by electronegativity and warns, once an element, of those without one, like helium
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="No Pauling electronegativity")
    _ = [element.X for element in Element]


class Params(Strict):
    """How symmetry is found."""

    symprec_ang: float = Field(DEFAULT_SYMPREC_ANG, gt=0, le=0.5, description="Symmetry tolerance (angstrom).")
    max_atoms: int = Field(200, ge=1, description="Largest primitive cell that is encoded.")


def build(params: Params, context: Any = None) -> WyckoffRepresentation:
    return WyckoffRepresentation(params)


@dataclass(frozen=True)
class WyckoffRepresentation:
    """`featurize` and `reconstruct` keep length and order."""

    params: Params = field(default_factory=Params)

    def featurize(self, xs: Sequence[Structure]) -> list[WyckoffCode | EncodeFailure]:
        return [self._encode(x) for x in xs]

    def reconstruct(self, codes: Sequence[WyckoffCode]) -> list[Structure | DecodeFailure]:
        return crystals_of(codes)

    def _encode(self, x: Structure) -> WyckoffCode | EncodeFailure:
        if not len(x):
            return EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, "no atoms")
        if not x.is_ordered or any(not isinstance(s, Element) and not hasattr(s, "element") for s in x.species):
            return EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, "partial occupancies or dummy species")
        if x.volume < SMALLEST_ANG3 * len(x) or min(x.lattice.abc) < SHORTEST_ANG:
            small = f"{x.volume / len(x):.2g} cubic angstrom per atom, shortest edge {min(x.lattice.abc):.2g} angstrom"
            return EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, f"no cell of a crystal: {small}")
        numbers = tuple(site.specie.Z for site in x)
        if (heaviest := max(numbers)) > len(SYMBOLS):
            return EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, f"atomic number {heaviest} is beyond the table")
        for symprec in (self.params.symprec_ang, self.params.symprec_ang / 10, self.params.symprec_ang / 100):
            code = _encode_at(x.lattice.matrix.tobytes(), x.frac_coords.tobytes(), numbers, symprec)
            if code is not None:
                break
        else:
            return EncodeFailure(FailureCode.ENCODE_NO_SYMMETRY, "no tolerance gave a consistent set of orbits")
        if code.n_atoms > self.params.max_atoms:
            return EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, f"{code.n_atoms} atoms exceed {self.params.max_atoms}")
        return code


@lru_cache(maxsize=REMEMBERED)
def _encode_at(lattice: bytes, frac_coords: bytes, elements: tuple[int, ...], symprec: float) -> WyckoffCode | None:
    """The code at one tolerance; None where the symmetry found there is inconsistent with the atoms.

    `lattice` are the bytes of rows in angstrom, float64 `[3, 3]`, `frac_coords` those of `[n, 3]`.
    """
    rows, places = (np.frombuffer(each).reshape(-1, 3).tolist() for each in (lattice, frac_coords))
    try:
        cell = moyopy.Cell(rows, places, list(elements))
        found = moyopy.MoyoDataset(cell, symprec=symprec, setting=moyopy.Setting.standard())
    except (ValueError, RuntimeError):  # moyopy's way to say that no group fits at this tolerance
        return None
    group = space_group(found.number)
    basis = np.array(found.std_cell.basis)
    primitive_basis = np.array(found.prim_std_cell.basis)
    sites = np.array(found.prim_std_cell.positions) @ primitive_basis @ np.linalg.inv(basis)
    numbers = np.array(found.prim_std_cell.numbers)
    label = np.empty(len(numbers), dtype=int)
    label[np.array(found.mapping_std_prim)] = np.array(found.orbits)
    if group.system == "triclinic":
        reduced = np.array(moyopy.niggli_reduce(basis.tolist())[0])
        sites, basis = sites @ basis @ np.linalg.inv(reduced), reduced
    _, first = np.unique(label, return_index=True)
    located = [group.identify(sites[i]) for i in first]
    if any(site is None for site in located):
        return None
    positions = np.array([site[0] for site in located if site is not None])
    coords = np.array([site[1] for site in located if site is not None])
    if group.multiplicities[positions].sum() != len(numbers):
        return None
    return canonical_code(found.number, positions, numbers[first], coords, basis)


def lattice_matrix(parameters: Array) -> Array:
    """Rows of the conventional cell from a, b, c (angstrom), alpha, beta, gamma (degrees)."""
    return cell_matrices(np.asarray(parameters)[None])[0]


def crystal_of(code: WyckoffCode) -> Structure | DecodeFailure:
    """The primitive cell of a code. A cell whose angles close no volume is a DecodeFailure."""
    return crystals_of([code])[0]


def crystals_of(codes: Sequence[WyckoffCode]) -> list[Structure | DecodeFailure]:
    """The same for many codes at once: all atoms are placed in arrays."""
    if not codes:
        return []
    numbers = np.array([code.space_group for code in codes])
    cells = primitive_cells(numbers, np.array([code.lattice for code in codes]))
    with np.errstate(invalid="ignore"):  # open cells are NaN
        volumes = np.abs(np.linalg.det(cells))
    counts = np.array([len(code.positions) for code in codes])
    atoms = place(
        numbers,
        np.repeat(np.arange(len(codes)), counts),
        np.concatenate([code.positions for code in codes]),
        np.concatenate([code.coords for code in codes]),
    )
    elements = np.concatenate([code.elements for code in codes])[atoms.orbit]
    ends = np.cumsum(np.bincount(atoms.crystal, minlength=len(codes)))
    found: list[Structure | DecodeFailure] = []
    for code, cell, volume, end, begin in zip(codes, cells, volumes, ends, [0, *ends[:-1]], strict=True):
        if not volume > 1e-3:
            reason = f"angles {code.lattice[3:].round(1)} close no cell"
            found.append(DecodeFailure(FailureCode.DECODE_INVALID, reason))
            continue
        species = [_one_atom(number) for number in elements[begin:end].tolist()]
        found.append(Structure(Lattice(cell), species, atoms.local[begin:end]))
    return found


@cache
def _one_atom(number: int) -> Composition:
    """What stands on a site of this element; making it anew for every site is what makes `Structure` slow."""
    return Composition({SYMBOLS[number - 1]: 1})


def fingerprint_of(code: WyckoffCode) -> str:
    """Space group, reduced formula and occupied Wyckoff positions, like `225:NaCl:4a-Na,4b-Cl`.

    Built from the canonical code, so it does not depend on the setting, the origin or the cell a crystal came in.
    """
    group = space_group(code.space_group)
    amounts: dict[str, int] = {}
    words = []
    for position, number in zip(code.positions, code.elements, strict=True):
        symbol = SYMBOLS[number - 1]
        amounts[symbol] = amounts.get(symbol, 0) + int(group.multiplicities[position])
        words.append(f"{group.positions[position].multiplicity}{group.positions[position].letter}-{symbol}")
    divisor = np.gcd.reduce(list(amounts.values()))
    formula = "".join(f"{s}{n // divisor if n > divisor else ''}" for s, n in sorted(amounts.items()))
    return f"{code.space_group}:{formula}:{','.join(words)}"


def fingerprint(crystal: Structure, symprec_ang: float = DEFAULT_SYMPREC_ANG) -> str | EncodeFailure:
    """The symmetry-invariant fingerprint of a crystal, or why it has none."""
    code = WyckoffRepresentation(Params(symprec_ang=symprec_ang)).featurize([crystal])[0]
    return code if isinstance(code, EncodeFailure) else fingerprint_of(code)
