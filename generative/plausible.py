"""The crystals that samples of a generator's prior are to resemble.

They are those of a file, screened by whoever made it, or the crystals that the generator is trained on and their likely
relatives, which have elements exchanged as known compounds do. Held-out formulas are in neither.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from pymatgen.core import Composition

from campaigns.errors import UserError
from generative.augmentation import Augmentation, substituted
from generative.datasets import MAX_ORBITS, Codes, encode_set, stack
from generative.loading import CrystalSet
from generative.neutrality import charge_neutral
from generative.progress import console
from generative.representations.wyckoff import fingerprint_of

EXCHANGES = Augmentation(distant=0.0, rearrange=0.0, coordinates=0.0, lengths=0.0, angles_deg=0.0)
PNICTOGENS_AND_TELLURIUM = frozenset({"As", "Sb", "Te"})  # metalloids that take electrons from metals


def balanced(formula: str) -> bool:
    """Charge-neutral, or without an element whose charge would have to be balanced: of metals alone."""
    return not holds_anion(formula) or charge_neutral(formula)


def holds_anion(formula: str) -> bool:
    """Whether a nonmetal, As, Sb or Te is in it."""
    return any(
        element.symbol in PNICTOGENS_AND_TELLURIUM or not (element.is_metal or element.is_metalloid)
        for element in Composition(formula).elements
    )


def likely_relatives(codes: Codes, copies: int, seed: int, without: Collection[str]) -> Codes:
    """At most `copies` relatives of each code, balanced, of no formula in `without`."""
    found = []
    for code in substituted(codes, copies, seed, EXCHANGES):
        formula = Composition(fingerprint_of(code).split(":")[1]).reduced_formula
        if len(code.positions) <= MAX_ORBITS and formula not in without and balanced(formula):
            found.append(code)
    return stack(found, [-1] * len(found))


def screened(
    crystals: CrystalSet, most_atoms: int, symprec_ang: float, without: Collection[str], workers: int
) -> Codes:
    """The usable crystals of a file, of no formula in `without`; how many were not is said on the screen.

    Raises UserError where none is left.
    """
    encoded = encode_set(crystals, symprec_ang=symprec_ang, workers=workers)
    formulas = np.array([encoded.formulas[row] for row in encoded.codes.row])
    kept = (encoded.codes.n_atoms() <= most_atoms) & ~np.isin(formulas, list(without))
    said = f"{crystals.source}: {int(kept.sum())} of {len(crystals)} crystals are used; the others are held out"
    console.print(f"{said}, too large or refused", soft_wrap=True)
    if not kept.any():
        raise UserError(f"{crystals.source}: no crystal of it can be used.", "Give others as --plausible, or none.")
    return encoded.codes.take(kept)
