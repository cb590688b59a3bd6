from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from prototypes import PROTOTYPES, perovskite

from campaigns.errors import UserError
from generative.datasets import encode_set
from generative.loading import CrystalSet, load_crystals
from generative.representations.wyckoff import crystal_of
from generative.training_set import (
    TrainingSet,
    counted_reasons,
    divide,
    read_labels,
    refused_rows,
    shortcomings,
    split_by_formula,
)
from generative.training_settings import TrainingSettings

SETTINGS = TrainingSettings(max_atoms=30, held_out=0.2)


def divided(crystals: CrystalSet, settings: TrainingSettings = SETTINGS) -> TrainingSet:
    encoded = encode_set(crystals, symprec_ang=settings.symprec_ang)
    refused = refused_rows(crystals, encoded, settings.max_atoms)
    return divide(crystals, encoded, read_labels(crystals), refused, settings)


def of(structures: list, tmp_path) -> CrystalSet:
    return CrystalSet(tmp_path, tuple(map(str, range(len(structures)))), tuple(structures), pd.DataFrame())


@pytest.fixture(scope="module")
def crystals(table) -> CrystalSet:
    return load_crystals(table)


@pytest.fixture(scope="module")
def found(crystals) -> TrainingSet:
    return divided(crystals)


def test_no_formula_is_on_both_sides(found, crystals):
    assert found.train_labels.shape == (len(found.train), 1)
    assert found.held_labels.shape == (len(found.held), 1)
    assert len(found.train) + len(found.held) + len(found.refused) == len(crystals)
    sides = (found.train, found.held)
    formulas = [{crystal_of(c.code(i)).composition.reduced_formula for i in range(len(c))} for c in sides]
    assert not formulas[0] & formulas[1]


def test_labels_belong_to_their_rows(found):
    np.testing.assert_allclose(found.train_labels[:, 0], -1.0 + 0.1 * found.train.row)


def test_every_row_left_out_has_its_reason(crystals):
    found = divided(crystals, replace(SETTINGS, max_atoms=8))
    assert found.train.n_atoms().max() <= 8
    assert found.refused["row"].is_monotonic_increasing
    kept = {*found.train.row, *found.held.row}
    assert kept | set(found.refused["row"]) == set(range(len(crystals)))
    assert not kept & set(found.refused["row"])
    assert counted_reasons(found.refused)["N atoms in the primitive cell exceed 8"] == len(found.refused) - 3


def test_the_split_depends_on_the_seed_alone():
    formulas = pd.Series(["NaCl", "NaCl", *[f"A{n}" for n in range(20)]])
    first = split_by_formula(formulas, 0.2, 1)
    assert np.array_equal(first, split_by_formula(formulas, 0.2, 1))
    assert not np.array_equal(first, split_by_formula(formulas, 0.2, 2))
    assert first[0] == first[1]


def test_one_formula_is_split_by_crystal_and_said_so(tmp_path):
    structures = [perovskite("Sr", "Ti", edge=3.8 + 0.01 * i) for i in range(20)]
    found = divided(of(structures, tmp_path))
    assert (len(found.train), len(found.held)) == (16, 4)
    assert found.split.startswith("20% of crystals held out at random, because they have only 1 reduced formula")


def test_too_few_crystals_are_refused(crystals):
    few = replace(crystals, names=crystals.names[:5], items=crystals.items[:5], columns=crystals.columns[:5])
    with pytest.raises(UserError, match=r"5 usable crystals, 1 of them held out, 0 refused\. Give at least 10"):
        divided(few)


def test_shortcomings_are_told(found, tmp_path):
    (few,) = shortcomings(found.train)
    assert few.startswith(f"only {len(found.train)} crystals")
    elements = ("Ca", "Sr", "Ba", "Pb", "Na", "K", "Rb", "Cs", "La", "Y", "Bi", "Ag")
    same = divided(of([perovskite(a, b) for a in elements for b in ("Ti", "Zr")], tmp_path))
    told = "\n".join(shortcomings(same.train))
    assert f"{len(same.train)} of {len(same.train)} crystals are of one prototype, 221: 1a-A 1b-B 3c-C" in told
    assert "of one space group, 221" in told
    many = same.train.take(np.zeros(200, dtype=int))
    assert len(shortcomings(many)) == 2


def test_labels_are_known_by_name_or_named(crystals):
    assert read_labels(crystals).names == ("formation_energy_ev_atom",)
    named = read_labels(crystals, ["formation_energy_per_atom=energy_ev_atom"])
    assert named.names == ("energy_ev_atom",)
    assert named.values[1, 0] == pytest.approx(-0.9)


def test_a_set_without_labels_has_none(tmp_path):
    assert read_labels(of(list(PROTOTYPES.values()), tmp_path)).values.shape == (len(PROTOTYPES), 0)


@pytest.mark.parametrize("text", ["gap", "=gap", "gap=", "gap=Band Gap"])
def test_a_label_of_another_form_is_refused(text, crystals):
    with pytest.raises(UserError, match=r"--label .*: is no COLUMN=PROPERTY"):
        read_labels(crystals, [text])


def test_a_label_that_is_no_column_is_refused(crystals):
    with pytest.raises(UserError, match="unknown 'gap'; choose one of formula, formation_energy_per_atom"):
        read_labels(crystals, ["gap=gap_ev"])
