from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from prototypes import PROTOTYPES

from generative.canonical import same_code
from generative.datasets import MAX_ORBITS, Codes, encode_set, multiplicity_table, stack
from generative.loading import load_crystals
from generative.representations.wyckoff import WyckoffRepresentation

GOOD = len(PROTOTYPES)


@pytest.fixture(scope="module")
def read(table, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache") / "codes.npz"
    crystals = load_crystals(table)
    return crystals, encode_set(crystals, symprec_ang=0.1, cache=cache), cache


def test_every_good_row_has_its_code(read):
    crystals, encoded, _ = read
    codes = encoded.codes
    assert len(crystals) == GOOD + 3
    assert encoded.formulas[:2].tolist() == ["NaCl", "ZnS"]
    assert encoded.formulas[GOOD:].tolist() == ["", "", "K0.5Na0.5Cl1"]
    assert codes.row.tolist() == list(range(GOOD))
    for i, x in enumerate(PROTOTYPES.values()):
        assert same_code(codes.code(i), WyckoffRepresentation().featurize([x])[0])
        assert codes.n_atoms()[i] == codes.code(i).n_atoms


def test_every_bad_row_has_its_own_reason(read):
    refused = read[1].refused
    assert refused["row"].tolist() == [GOOD, GOOD + 1, GOOD + 2]
    assert refused["name"].tolist() == [f"row {row + 2}" for row in refused["row"]]
    assert refused["reason"][0] == "no CIF"
    assert "cannot be read" in refused["reason"][1]
    assert "partial occupancies" in refused["reason"][2]
    assert set(refused["code"]) == {"encode_unsupported"}


def test_the_cache_keeps_codes_formulas_and_reasons(read, monkeypatch):
    crystals, encoded, cache = read
    monkeypatch.setattr("generative.datasets._encode_chunk", None)
    again = encode_set(crystals, symprec_ang=0.1, cache=cache)
    for name in Codes.__dataclass_fields__:
        assert np.array_equal(getattr(encoded.codes, name), getattr(again.codes, name))
    assert np.array_equal(encoded.formulas, again.formulas)
    pd.testing.assert_frame_equal(encoded.refused, again.refused)


def test_a_cache_of_another_tolerance_or_in_pieces_is_not_believed(read, tmp_path):
    crystals, _, cache = read
    copy = tmp_path / "codes.npz"
    copy.write_bytes(cache.read_bytes())
    few = replace(crystals, items=crystals.items[:3], names=crystals.names[:3])
    assert len(encode_set(few, symprec_ang=0.01, cache=copy).codes) == 3
    copy.write_bytes(cache.read_bytes()[:1000])
    assert len(encode_set(few, symprec_ang=0.1, cache=copy).codes) == 3


def test_several_processes_encode_as_one(read):
    crystals, encoded, _ = read
    many = replace(crystals, items=crystals.items * 4, names=crystals.names * 4)
    codes = encode_set(many, symprec_ang=0.1, workers=2).codes
    assert np.array_equal(codes.elements[:GOOD], encoded.codes.elements)
    assert len(codes) == 4 * GOOD


def test_codes_survive_stacking_and_taking(read):
    codes = read[1].codes
    picked = codes.take(np.array([3, 1]))
    assert len(picked) == 2
    assert same_code(picked.code(0), codes.code(3))
    again = stack([codes.code(i) for i in range(len(codes))])
    assert again.row.tolist() == list(range(len(codes)))
    assert again.positions.shape == (len(codes), MAX_ORBITS)


def test_multiplicities_per_primitive_cell():
    table = multiplicity_table()
    assert table.shape == (231, 27)
    assert table[225, :3].tolist() == [1, 1, 2]  # 4a, 4b, 8c of a face-centred cell
    assert table[0].sum() == 0
