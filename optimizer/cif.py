"""Crystals as CIF text, and the space group a reader of that text finds."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import moyopy
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser, CifWriter
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

SYMPREC_ANG = 0.1


@dataclass(frozen=True)
class SpaceGroup:
    """By moyopy at SYMPREC_ANG; `ambiguous` where spglib says otherwise at the same tolerance."""

    number: int
    symbol: str  # short Hermann-Mauguin, like "F m -3 m" without blanks
    ambiguous: bool


def as_read_back(crystal: Structure) -> tuple[str, Structure]:
    """CIF text with every site written out (P1, 8 digits), and the crystal that pymatgen reads from it.

    Sites are not moved onto symmetry positions: the file is the crystal whose energy was computed.
    """
    plain = crystal.copy(site_properties={}).remove_oxidation_states()
    text = str(CifWriter(plain))
    with warnings.catch_warnings():
        # 0.33333333 becomes 1/3; no news for a reader of the list
        warnings.filterwarnings("ignore", message=".*fractional coordinates rounded to ideal values")
        return text, CifParser.from_str(text).parse_structures(primitive=False)[0]


def space_group(crystal: Structure) -> SpaceGroup:
    """Space group at SYMPREC_ANG. Where no group fits at that tolerance it is P1, and ambiguous."""
    cell = moyopy.Cell(
        crystal.lattice.matrix.tolist(), crystal.frac_coords.tolist(), list(crystal.atomic_numbers)
    )
    try:
        number = moyopy.MoyoDataset(cell, symprec=SYMPREC_ANG).number
    except (ValueError, RuntimeError):
        return SpaceGroup(1, "P1", True)
    symbol = moyopy.SpaceGroupType(number).hm_short.replace(" ", "")
    return SpaceGroup(number, symbol, number != _by_spglib(crystal))


def _by_spglib(crystal: Structure) -> int | None:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning
            )  # pymatgen's affair
            return SpacegroupAnalyzer(crystal, symprec=SYMPREC_ANG).get_space_group_number()
    except SymmetryUndeterminedError:
        return None
