"""A labelled table."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from pymatgen.core import Structure

from campaigns.records import FailureCode
from campaigns.search_space import SearchSpace
from optimizer.protocols import StartContext
from optimizer.starts.table import Params, build

CIF = str(Structure([[3, 0, 0], [0, 3, 0], [0, 0, 3]], ["W"], [[0, 0, 0]]).to(fmt="cif"))
CONTEXT_PROPERTIES = ("band_gap_ev", "density_g_cm3")


def start(folder, table):
    pd.DataFrame(table).to_csv(folder / "labels.csv", index=False)
    return build(Params(path="labels.csv"), StartContext(str(folder), CONTEXT_PROPERTIES))


def test_rows_without_every_number_or_crystal_are_reasons(tmp_path):
    table = {"cif": [CIF, CIF, CIF, "x"], "band_gap_ev": [0, "", "wide", 1], "density_g_cm3": [19, 19, 19, 19]}
    found = list(start(tmp_path, table).crystals(None, SearchSpace(), seed=0))
    assert found[0].values == {"band_gap_ev": 0.0, "density_g_cm3": 19.0}
    assert found[0].source == "labels.csv row 2"
    codes = [each.code for each in found[1:]]
    assert codes == [FailureCode.INVALID_VALUE, FailureCode.INVALID_VALUE, FailureCode.DECODE_INVALID]


def test_a_lacking_column_is_named_with_those_there_are(tmp_path):
    with pytest.raises(ValueError, match="lacks the columns density_g_cm3; it has cif, band_gap_ev"):
        start(tmp_path, {"cif": [CIF], "band_gap_ev": [1.0]})


def test_any_table_of_crystals_will_do_and_columns_may_have_other_names(tmp_path):
    gold = Structure.from_str(CIF, fmt="cif")
    entries = [{"structure": gold.as_dict(), "data": {"gap pbe": 0.5, "density_g_cm3": 19.0}}]
    (tmp_path / "labels.json").write_text(json.dumps(entries))
    context = StartContext(str(tmp_path), CONTEXT_PROPERTIES)
    built = build(Params(path="labels.json", columns={"band_gap_ev": "gap pbe"}), context)
    (found,) = built.crystals(None, SearchSpace(), seed=0)
    assert found.values == {"band_gap_ev": 0.5, "density_g_cm3": 19.0}
    with pytest.raises(ValueError, match="lacks the columns band_gap_ev; it has cif, gap pbe, density_g_cm3"):
        build(Params(path="labels.json"), context)
    with pytest.raises(ValueError, match="columns: 'gap' is no objective or constraint"):
        build(Params(path="labels.json", columns={"gap": "gap pbe"}), context)
