"""Crystals as CIF text, and the space group a reader of that text finds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import moyopy
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser, CifWriter
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

SYMPREC_ANG = 0.1


@dataclass(frozen=True)
class SpaceGroup:
    """As pymatgen (spglib) finds it at SYMPREC_ANG, which is how a reader of the file will look; `ambiguous` where
    moyopy says otherwise at the same tolerance."""

    number: int
    symbol: str  # short Hermann-Mauguin without blanks, like "Fm-3m"
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
    try:
        with _spglib_quiet():
            found = SpacegroupAnalyzer(crystal, symprec=SYMPREC_ANG)
            number, symbol = found.get_space_group_number(), found.get_space_group_symbol()
    except SymmetryUndeterminedError:
        return SpaceGroup(1, "P1", True)
    return SpaceGroup(number, symbol, number != _by_moyopy(crystal))


def conventional_cell(crystal: Structure) -> Structure:
    """The cell of the International Tables, sites moved onto their symmetry positions: for the eye, not for computing.
    Where no group fits at SYMPREC_ANG, or sites would be lost, the crystal as it is."""
    try:
        with _spglib_quiet():
            found = SpacegroupAnalyzer(crystal, symprec=SYMPREC_ANG).get_conventional_standard_structure()
    except (SymmetryUndeterminedError, ValueError, TypeError):
        return crystal
    return found if found.composition.reduced_formula == crystal.composition.reduced_formula else crystal


@contextmanager
def _spglib_quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # spglib 2.8 announces a change of its error handling; pymatgen's affair
        warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)
        yield


def _by_moyopy(crystal: Structure) -> int | None:
    cell = moyopy.Cell(crystal.lattice.matrix.tolist(), crystal.frac_coords.tolist(), list(crystal.atomic_numbers))
    try:
        return moyopy.MoyoDataset(cell, symprec=SYMPREC_ANG).number
    except (ValueError, RuntimeError):
        return None
