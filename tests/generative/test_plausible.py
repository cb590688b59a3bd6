from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from prototypes import PROTOTYPES
from pymatgen.core import Composition

from campaigns.errors import UserError
from generative.canonical import WyckoffCode
from generative.datasets import stack
from generative.loading import load_crystals
from generative.plausible import balanced, likely_relatives, screened
from generative.representations.wyckoff import WyckoffRepresentation, fingerprint_of


@pytest.mark.parametrize("formula", ["NaCl", "MgAl2O4", "MoRu", "Cu3Au", "GaAs"])
def test_ionic_crystals_have_to_balance_and_metals_have_not(formula):
    assert balanced(formula)


@pytest.mark.parametrize("formula", ["NaCl2", "MgAlO4", "K3As2"])
def test_charges_that_do_not_sum_to_zero_are_told(formula):
    assert not balanced(formula)


def formulas(codes) -> list[str]:
    marks = [fingerprint_of(codes.code(i)) for i in range(len(codes))]
    return [Composition(mark.split(":")[1]).reduced_formula for mark in marks]


def test_likely_relatives_balance_and_are_none_of_those_left_out():
    found = WyckoffRepresentation().featurize(list(PROTOTYPES.values()))
    codes = stack([code for code in found if isinstance(code, WyckoffCode)])
    relatives = formulas(likely_relatives(codes, 4, 0, frozenset()))
    assert len(relatives) > len(codes)
    assert all(balanced(formula) for formula in relatives)
    out = set(relatives[::2])
    assert out.isdisjoint(formulas(likely_relatives(codes, 4, 0, out)))


def test_a_file_gives_what_is_usable_and_not_held_out(tmp_path: Path, capsys):
    chosen = list(PROTOTYPES.values())
    path = tmp_path / "more.csv"
    pd.DataFrame({"cif": [x.to(fmt="cif") for x in chosen] + ["no crystal"]}).to_csv(path, index=False)
    held = chosen[0].composition.reduced_formula
    codes = screened(load_crystals(path), 4, 0.1, {held}, 1)
    assert 0 < len(codes) < len(chosen)
    assert (codes.n_atoms() <= 4).all()
    assert held not in formulas(codes)
    assert f"{len(codes)} of {len(chosen) + 1} crystals are used" in capsys.readouterr().err
    with pytest.raises(UserError, match="no crystal of it can be used"):
        screened(load_crystals(path), 0, 0.1, set(), 1)
