"""Files a user brings: what is read, and what is said of the rest."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from pymatgen.core import Structure

from campaigns.records import FailureCode
from generative.protocols import DecodeFailure
from optimizer.crystal_files import located, read_crystals, require_crystal, table_columns

CRYSTAL = Structure([[2.8, 0, 0], [0, 2.8, 0], [0, 0, 3.7]], ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
CIF = str(CRYSTAL.to(fmt="cif"))


def formulas(path):
    found = list(read_crystals(path))
    return [
        (f.source, "-" if isinstance(f.crystal, DecodeFailure) else f.crystal.composition.reduced_formula)
        for f in found
    ]


def test_a_folder_of_cifs(tmp_path):
    (tmp_path / "b.CIF").write_text(CIF)
    (tmp_path / "a.cif").write_text("nothing")
    (tmp_path / "notes.txt").write_text("not read")
    assert formulas(tmp_path) == [("a.cif", "-"), ("b.CIF", "CuAu")]
    assert next(iter(read_crystals(tmp_path))).crystal.code is FailureCode.DECODE_INVALID


def test_pymatgen_json_of_one_crystal_or_many(tmp_path):
    one, many = tmp_path / "one.json", tmp_path / "many.json"
    one.write_text(json.dumps(CRYSTAL.as_dict()))
    many.write_text(json.dumps([CRYSTAL.as_dict(), {"no": "crystal"}]))
    assert formulas(one) == [("one.json [0]", "CuAu")]
    assert formulas(many) == [("many.json [0]", "CuAu"), ("many.json [1]", "-")]


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_a_table_keeps_its_other_columns(tmp_path, name):
    pd.DataFrame({"label": [1.5, 2.5], "cif": [CIF, None]}).to_csv(tmp_path / name, index=False)
    assert table_columns(tmp_path / name) == ["label", "cif"]
    assert formulas(tmp_path / name) == [(f"{name} row 2", "CuAu"), (f"{name} row 3", "-")]
    assert [f.columns for f in read_crystals(tmp_path / name)] == [{"label": 1.5}, {"label": 2.5}]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("table.csv", b"formula\nCuAu\n", "no column `cif`"),
        ("table.csv", b"cif\n1\n2,3,4\n", "line 3"),
        ("table.csv.gz", b"not zipped", "cannot be read"),
        ("crystal.pdf", b"", r"crystal\.pdf: format not known\. Give \.csv"),
        ("crystal.json", b"{", r"path: .*crystal\.json: cannot be read \(Expecting"),
        ("table.csv", b"", r"path: .*table\.csv: cannot be read \(No columns"),
    ],
)
def test_what_cannot_be_read_is_a_value_error(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said):
        list(read_crystals(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.cif", b"nothing", r"no crystal that can be read: a\.cif: CIF cannot be read"),
        ("a.cif", b"data_\xe9", r"no crystal that can be read: a\.cif: CIF cannot be read"),
        ("a.json", b"[]", "no crystal that"),
    ],
)
def test_a_file_without_one_readable_crystal_is_refused(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said):
        require_crystal(tmp_path / name)
    (tmp_path / "b.cif").write_text(CIF)
    if name == "a.cif":
        require_crystal(tmp_path)  # a folder in which one can be read


def test_a_header_that_cannot_be_read_is_a_value_error(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match=r"path: .*folder\.csv' cannot be read"):
        table_columns(tmp_path / "folder.csv")


def test_an_empty_folder_and_a_missing_path_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"holds no \.cif"):
        list(read_crystals(tmp_path))
    with pytest.raises(ValueError, match="does not exist"):
        located("nowhere.csv", str(tmp_path))
    assert located(str(tmp_path), "anywhere") == tmp_path


def test_a_cif_with_disorder_or_rounding_is_read_without_a_warning(tmp_path):
    text = CIF.replace("0.50000000", "0.3333", 1)
    (tmp_path / "a.cif").write_text(text)
    assert formulas(tmp_path / "a.cif") == [("a.cif", "CuAu")]
