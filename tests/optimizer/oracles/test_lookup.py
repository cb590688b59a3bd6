"""Looking crystals up in a table, three ways."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from campaigns.records import Failed, FailureCode, Measured
from generative.representations.wyckoff import fingerprint
from optimizer.oracles.lookup import LookupOracle, Params, build
from optimizer.protocols import OracleContext


def _perovskite(a: str, b: str) -> Structure:
    return Structure.from_spacegroup(221, Lattice.cubic(4), [a, b, "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]])


SWAPPED = {"first": _perovskite("Ba", "Ti"), "second": _perovskite("Ti", "Ba")}  # one formula, two crystals


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        ("BaTiO3", SWAPPED["first"], 1.5, 2),
        ("O3TiBa", SWAPPED["second"], 0.2, ""),
        ("SrTiO3", _perovskite("Sr", "Ti"), 1.9, 4),
    ]
    with gzip.open(tmp_path / "table.csv.gz", "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "cif", "code", "gap", "n"])
        writer.writerows((name, x.to(fmt="cif"), fingerprint(x), gap, n) for name, x, gap, n in rows)
    return tmp_path


def _oracle(folder: Path, match: str, key: str, **properties) -> LookupOracle:
    wanted = properties or {"band_gap_ev": {"unit": "eV", "column": "gap"}}
    return build(
        Params(path="table.csv.gz", match=match, key=key, properties=wanted), OracleContext("cpu", str(folder))
    )


@pytest.mark.parametrize(("match", "key"), [("fingerprint", "code"), ("structure", "cif")])
def test_crystals_of_one_formula_are_told_apart(folder, match, key):
    oracle = _oracle(folder, match, key)
    outcomes = dict(oracle.evaluate([SWAPPED["second"], SWAPPED["first"]], seed=0))
    assert [o.values["band_gap_ev"] for o in outcomes.values()] == [0.2, 1.5]
    assert [o.details["row"] for o in outcomes.values()] == [3, 2]


def test_a_formula_is_found_however_it_is_written(folder):
    outcomes = dict(_oracle(folder, "formula", "name").evaluate([SWAPPED["second"], _perovskite("Sr", "Ti")], seed=0))
    assert [o.values["band_gap_ev"] for o in outcomes.values()] == [1.5, 1.9]  # the first row of a formula


@pytest.mark.parametrize(("match", "key"), [("formula", "name"), ("fingerprint", "code"), ("structure", "cif")])
def test_what_is_not_in_the_table_is_not_found(folder, match, key):
    ((_, outcome),) = _oracle(folder, match, key).evaluate([_perovskite("Ca", "Ti")], seed=0)
    assert isinstance(outcome, Failed)
    assert outcome.code == FailureCode.NOT_FOUND
    assert "CaTiO3" in outcome.message


def test_a_distorted_crystal_matches_its_structure_but_not_its_fingerprint(folder):
    distorted = SWAPPED["first"].copy()
    distorted.translate_sites([1], [0.06, 0, 0])
    ((_, by_structure),) = _oracle(folder, "structure", "cif").evaluate([distorted], seed=0)
    assert isinstance(by_structure, Measured)
    ((_, by_code),) = _oracle(folder, "fingerprint", "code").evaluate([distorted], seed=0)
    assert isinstance(by_code, Failed)


def test_several_columns_at_once_and_an_empty_cell_is_not_found(folder):
    oracle = _oracle(folder, "structure", "cif", gap="eV", n="electrons")
    assert [prop.unit for prop in oracle.properties] == ["eV", "electrons"]
    outcomes = dict(oracle.evaluate([SWAPPED["first"], SWAPPED["second"]], seed=0))
    assert outcomes[0].values == {"gap": 1.5, "n": 2.0}
    assert isinstance(outcomes[1], Failed)
    assert "has no n" in outcomes[1].message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "none.csv"}, "cannot be read as CSV"),
        ({"key": "formula"}, "has no column 'formula'; it has name, cif"),
        ({"properties": {"band_gap_ev": "eV"}}, "has no column 'band_gap_ev'"),
        ({"properties": {"code": "eV"}}, "holds text where numbers are needed"),
        ({"match": "structure"}, "holds something that is no CIF"),
        ({"properties": {"Band gap": {"unit": "eV", "column": "gap"}}}, "lower_snake_case"),
    ],
)
def test_a_table_that_cannot_serve_is_refused_when_it_is_built(folder, change, message):
    given = {"path": "table.csv.gz", "match": "formula", "key": "name", "properties": {"gap": "eV"}} | change
    with pytest.raises(ValueError, match=r".") as caught:
        build(Params(**given), OracleContext("cpu", str(folder)))
    assert message in str(caught.value)


def test_the_version_follows_the_content_of_the_table(folder):
    before = _oracle(folder, "formula", "name").version
    with gzip.open(folder / "table.csv.gz", "at") as file:
        file.write("CaO,,,3,1\n")
    assert _oracle(folder, "formula", "name").version != before


def test_blank_rows_and_empty_cells_hide_nothing(tmp_path):
    (tmp_path / "table.csv").write_text("name,gap\nMgO,\nMgO,7.8\nNaN,0.5\n,\n")
    given = {"path": "table.csv", "match": "formula", "key": "name", "properties": {"gap": "eV"}}
    oracle = build(Params(**given), OracleContext("cpu", str(tmp_path)))
    cells = [Structure(Lattice.cubic(4), pair, [[0, 0, 0], [0.5] * 3]) for pair in (["Mg", "O"], ["Na", "N"])]
    found = dict(oracle.evaluate(cells, seed=0))
    assert [(found[n].values["gap"], found[n].details["row"]) for n in (0, 1)] == [(7.8, 3), (0.5, 4)]


def test_an_amount_without_end_is_no_formula(tmp_path):
    (tmp_path / "table.csv").write_text("name,gap\nCu1e400,1.0\n")
    given = {"path": "table.csv", "match": "formula", "key": "name", "properties": {"gap": "eV"}}
    with pytest.raises(ValueError, match="holds 'Cu1e400', which is no formula"):
        build(Params(**given), OracleContext("cpu", str(tmp_path)))


def test_a_table_written_anew_is_read_anew(folder):
    before = _oracle(folder, "formula", "name")
    with gzip.open(folder / "table.csv.gz", "wt") as file:
        file.write("name,gap\nSrTiO3,3.2\n")
    after = _oracle(folder, "formula", "name")
    answers = [dict(oracle.evaluate([_perovskite("Sr", "Ti")], seed=0))[0] for oracle in (before, after)]
    assert [answer.values for answer in answers] == [{"band_gap_ev": 1.9}, {"band_gap_ev": 3.2}]
    assert before.version != after.version
