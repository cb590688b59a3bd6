from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from prototypes import PROTOTYPES

from campaigns.errors import UserError
from generative.canonical import same_code
from generative.datasets import MAX_ORBITS, Codes, codes_of_table, multiplicity_table, read_table, stack
from generative.representations.wyckoff import WyckoffRepresentation

GOOD = len(PROTOTYPES)


@pytest.fixture(scope="module")
def read(table, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache") / "codes.npz"
    return codes_of_table(table, symprec_ang=0.1, cache=cache, workers=1), cache


def test_every_good_row_has_its_code(read):
    (rows, codes, _), _ = read
    assert len(rows) == GOOD + 3
    assert codes.row.tolist() == list(range(GOOD))
    for i, x in enumerate(PROTOTYPES.values()):
        assert same_code(codes.code(i), WyckoffRepresentation().featurize([x])[0])
        assert codes.n_atoms()[i] == codes.code(i).n_atoms


def test_every_bad_row_has_its_own_reason(read):
    (_, _, refused), _ = read
    assert refused["row"].tolist() == [GOOD, GOOD + 1, GOOD + 2]
    assert refused["reason"][0] == "no CIF"
    assert "cannot be read" in refused["reason"][1]
    assert "partial occupancies" in refused["reason"][2]
    assert set(refused["code"]) == {"encode_unsupported"}


def test_the_cache_keeps_codes_and_reasons(read, table):
    (_, codes, refused), cache = read
    _, again, report = codes_of_table(table, symprec_ang=0.1, cache=cache, workers=1)
    for name in Codes.__dataclass_fields__:
        assert np.array_equal(getattr(codes, name), getattr(again, name))
    pd.testing.assert_frame_equal(refused, report)


def test_codes_survive_stacking_and_taking(read):
    (_, codes, _), _ = read
    picked = codes.take(np.array([3, 1]))
    assert len(picked) == 2
    assert same_code(picked.code(0), codes.code(3))
    again = stack([codes.code(i) for i in range(len(codes))])
    assert again.row.tolist() == list(range(len(codes)))
    assert again.positions.shape == (len(codes), MAX_ORBITS)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.csv: cannot be read"):
        read_table(tmp_path / "nowhere.csv")


def test_an_empty_table_is_refused(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(UserError, match=r"empty\.csv: cannot be read"):
        read_table(tmp_path / "empty.csv")


def test_a_table_without_crystals_is_refused(tmp_path):
    (tmp_path / "table.csv").write_text("formula,gap\nNaCl,5\n")
    with pytest.raises(UserError, match="no column `cif` among formula, gap"):
        read_table(tmp_path / "table.csv")


def test_multiplicities_per_primitive_cell():
    table = multiplicity_table()
    assert table.shape == (231, 27)
    assert table[225, :3].tolist() == [1, 1, 2]  # 4a, 4b, 8c of a face-centred cell
    assert table[0].sum() == 0
