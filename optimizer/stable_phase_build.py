"""Build the list of stable compounds: `python -m optimizer.stable_phase_build --formulas CSV --data CSV --out FILE`.

The first CSV has the columns formula and formation_energy_per_atom (eV/atom, the lowest of the formula), as Matbench's
mp_e_form (Materials Project of 2019); the second the same of crystals from a later release and e_above_hull (eV/atom).

Between the two the Materials Project changed the corrections of its energies (A. Wang et al., Sci. Rep. 11, 15496
(2021)): selenides move by up to half an eV per selenium. Corrections are linear in the amounts of elements, by role:
as the anion or not, and of metals that are treated with a Hubbard U beside oxygen or fluorine. So the change is fitted
to the formulas of both files that the later one calls stable, robustly, since some were recomputed. Kept are the
phases on the hull of all, and of a pair of elements without any the one nearest to it: such a pair is explored.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Composition, Element
from sklearn.linear_model import HuberRegressor

from generative.progress import tracked
from optimizer.elemental_references import elemental_references
from optimizer.formulas import atomic_fractions, elements_of
from optimizer.known_hull import Systems, lowest_mixture
from optimizer.stable_phases import write_stable_phases

ANIONS = ("O", "F", "Cl", "Br", "I", "S", "Se", "Te", "N", "H", "P", "As", "Sb", "Si")
WITH_U = ("V", "Cr", "Mn", "Fe", "Co", "Ni", "Mo", "W")  # beside these anions:
U_ANIONS = ("O", "F")
RECOMPUTED_EV_ATOM = 0.5  # a larger change is no correction


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m optimizer.stable_phase_build", description=__doc__)
    parser.add_argument("--formulas", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    moved = on_later_scale(given.formulas, given.data)
    missing = elemental_references().missing
    formulas = [f for f in sorted(moved) if len(elements_of(f)) > 1 and not missing(elements_of(f))]
    kept = corners(formulas, np.array([moved[f] for f in formulas]))
    given.out.write_bytes(write_stable_phases({formulas[i]: moved[formulas[i]] for i in kept}))
    left = np.abs([moved[f] - energy for f, energy in lowest(given.data, stable=True).items() if f in moved])
    print(
        f"{given.out}: {len(kept)} of {len(formulas)} compounds; of {len(left)} stable ones in both files energies "
        f"differ by {np.median(left):.4f} eV/atom (median), {np.mean(left):.4f} (mean)",
        file=sys.stderr,
    )


def on_later_scale(formulas: Path, data: Path) -> dict[str, float]:
    """Reduced formula -> lowest formation energy (eV/atom) of the first file, on the scale of the second."""
    old, new = lowest(formulas), lowest(data, stable=True)
    both = sorted(old.keys() & new.keys())
    change = fit_change(both, np.array([new[f] - old[f] for f in both])).predict(roles(list(old)))
    return {formula: energy + float(by) for (formula, energy), by in zip(old.items(), change, strict=True)}


def lowest(path: Path, *, stable: bool = False) -> dict[str, float]:
    """Reduced formula -> lowest formation energy in eV/atom; `stable`: of crystals labelled on the hull."""
    # NaN is sodium nitride
    table = pd.read_csv(path, dtype={"formula": str}, keep_default_na=False)
    if stable:
        table = table[pd.to_numeric(table["e_above_hull"], errors="coerce") == 0]
    found: dict[str, float] = {}
    for formula, energy in zip(table["formula"], table["formation_energy_per_atom"].astype(float), strict=True):
        reduced = Composition(formula).reduced_formula
        found[reduced] = min(energy, found.get(reduced, np.inf))
    return found


def roles(formulas: list[str]) -> NDArray[np.float64]:
    """What the corrections are linear in, `[n, 2 * 14 + 2 * 8]`.

    The fraction of each of ANIONS, the same where it is the most electronegative, and the fraction of each of WITH_U
    where one of U_ANIONS is there.
    """
    rows = []
    for formula in formulas:
        composition = Composition(formula).fractional_composition
        amounts = composition.get_el_amt_dict()
        strongest = max(amounts, key=lambda symbol: np.nan_to_num(Element(symbol).X))
        anions = [amounts.get(symbol, 0.0) for symbol in ANIONS]
        as_anion = [x * (symbol == strongest) for symbol, x in zip(ANIONS, anions, strict=True)]
        rows.append([*anions, *as_anion, *(amounts.get(m, 0.0) * (a in amounts) for m in WITH_U for a in U_ANIONS)])
    return np.array(rows)


def fit_change(formulas: list[str], change_ev_atom: NDArray[np.float64]) -> HuberRegressor:
    """Of one scale into the other."""
    usable = np.abs(change_ev_atom) < RECOMPUTED_EV_ATOM
    model = HuberRegressor(epsilon=1.1, alpha=1e-6, max_iter=5000, fit_intercept=False)
    return model.fit(roles(formulas)[usable], change_ev_atom[usable])


def corners(formulas: list[str], formation_ev_atom: NDArray[np.float64]) -> list[int]:
    """Places of those on their hull, and of a pair of elements without any the one nearest to it."""
    above = above_others(atomic_fractions(formulas), formation_ev_atom)
    kept = {int(i) for i in np.flatnonzero(above <= 0)}
    pairs: dict[frozenset[str], list[int]] = {}
    for i, formula in enumerate(formulas):
        if len(elements_of(formula)) == 2:
            pairs.setdefault(elements_of(formula), []).append(i)
    for places in pairs.values():
        if kept.isdisjoint(places):
            kept.add(min(places, key=lambda i: above[i]))
    return sorted(kept)


def above_others(fractions: NDArray[np.float64], formation_ev_atom: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each compound, fractions `[n, 103]`, its energy above any mixture of the others and the elements, `[n]`."""
    systems = Systems(fractions)
    above = np.empty(len(fractions))
    for i in tracked(range(len(fractions)), "hulls", len(fractions)):
        places = np.flatnonzero(fractions[i])
        inside = systems.inside(places)
        inside = inside[(formation_ev_atom[inside] < 0) & (inside != i)]
        held, wanted = fractions[np.ix_(inside, places)], fractions[i, places]
        below = lowest_mixture(held, formation_ev_atom[inside], wanted) if len(inside) else 0.0
        above[i] = formation_ev_atom[i] - below
    return above


if __name__ == "__main__":
    main()
