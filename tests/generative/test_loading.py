"""Every way in which people keep crystals, and every way in which such a file can be bad."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from prototypes import PROTOTYPES
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from campaigns.errors import UserError
from generative.loading import load_crystals, read_crystal
from generative.protocols import EncodeFailure

CRYSTALS = [PROTOTYPES[name] for name in ("rock salt", "rutile", "wurtzite, polar")]
GAPS = [5.0, 3.0, 3.8]


def atoms(x: Structure) -> Atoms:
    return Atoms(numbers=[site.specie.Z for site in x], positions=x.cart_coords, cell=x.lattice.matrix, pbc=True)


def write_csv(folder: Path) -> Path:
    rows = "".join(f'"{x.to(fmt="cif")}",m{i},{gap}\n' for i, (x, gap) in enumerate(zip(CRYSTALS, GAPS, strict=True)))
    (folder / "t.csv.gz").write_bytes(gzip.compress(f"cif,material_id,gap\n{rows}".encode()))
    return folder / "t.csv.gz"


def write_ase(folder: Path, name: str) -> Path:
    with ase.db.connect(folder / name) as database:
        for x, gap in zip(CRYSTALS, GAPS, strict=True):
            database.write(atoms(x), gap=gap, label="text is no label")
    return folder / name


def write_xyz(folder: Path) -> Path:
    frames = [atoms(x) for x in CRYSTALS]
    for frame, gap in zip(frames, GAPS, strict=True):
        frame.info["gap"] = gap
    ase.io.write(folder / "t.extxyz", frames)
    return folder / "t.extxyz"


def write_json(folder: Path, kind: str) -> Path:
    pairs = list(zip(CRYSTALS, GAPS, strict=True))
    documents = {
        "entries": {
            "entries": [ComputedStructureEntry(x, -1.0, data={"gap": gap}).as_dict() for x, gap in pairs],
        },
        "documents": [{"material_id": "m", "structure": x.as_dict(), "gap": gap} for x, gap in pairs],
        "named": {f"m{i}": {**x.as_dict(), "properties": {"gap": gap}} for i, (x, gap) in enumerate(pairs)},
    }
    (folder / "t.json").write_text(json.dumps(documents[kind]))
    return folder / "t.json"


WRITERS = {
    "csv": write_csv,
    "ase sqlite": lambda folder: write_ase(folder, "t.db"),
    "ase json": lambda folder: write_ase(folder, "t.json"),
    "extxyz": write_xyz,
    "computed entries": lambda folder: write_json(folder, "entries"),
    "list of documents": lambda folder: write_json(folder, "documents"),
    "named structures": lambda folder: write_json(folder, "named"),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_crystals_and_numbers_come_in_order_from_every_format(write, tmp_path):
    found = load_crystals(write(tmp_path))
    crystals = list(found.readable())
    assert [x.composition.reduced_formula for x in crystals] == ["NaCl", "TiO2", "ZnS"]
    for x, truth in zip(crystals, CRYSTALS, strict=True):
        assert x.volume == pytest.approx(truth.volume, rel=1e-4)
    assert found.numbers("gap").tolist() == GAPS
    assert len(set(found.names)) in (1, 3)


def test_a_folder_is_read_with_the_folders_in_it(tmp_path):
    (tmp_path / "oxides").mkdir()
    CRYSTALS[1].to(filename=str(tmp_path / "oxides" / "rutile.cif"))
    CRYSTALS[0].to(filename=str(tmp_path / "salt.cif"))
    (tmp_path / "notes.txt").write_text("no crystal")
    (tmp_path / "broken.CIF").write_text("no crystal either")
    found = load_crystals(tmp_path)
    assert found.names == ("broken.CIF", "oxides/rutile.cif", "salt.cif")
    broken, rutile, salt = found.readable()
    assert isinstance(broken, EncodeFailure)
    assert "CIF cannot be read" in broken.message
    assert (rutile.composition.reduced_formula, salt.composition.reduced_formula) == ("TiO2", "NaCl")


def test_one_cif_is_a_set_of_one(tmp_path):
    CRYSTALS[0].to(filename=str(tmp_path / "salt.cif"))
    assert load_crystals(tmp_path / "salt.cif").names == ("salt.cif",)


def test_every_crystal_of_a_cif_with_several_is_one_of_the_set(tmp_path):
    salt, rutile = (crystal.to(fmt="cif") for crystal in CRYSTALS[:2])
    several = f"{salt}\n{rutile}\ndata_publication\n_journal_year 2020\n{salt}"
    (tmp_path / "several.cif").write_text(several)
    for place in (tmp_path / "several.cif", tmp_path):
        found = load_crystals(place)
        formulas = [crystal.composition.reduced_formula for crystal in found.readable()]
        assert formulas == ["NaCl", "TiO2", "NaCl"]
        assert found.names == ("several.cif#NaCl", "several.cif#TiO2", "several.cif#NaCl#2")
    pd.DataFrame({"cif": [salt, several]}).to_csv(tmp_path / "table.csv", index=False)
    one, many = load_crystals(tmp_path / "table.csv").readable()
    assert one.composition.reduced_formula == "NaCl"
    assert many.message == "3 crystals in one cell of the table"


def test_a_column_may_have_another_name(tmp_path):
    path = write_csv(tmp_path)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"cif,", b"structure,")))
    assert len(load_crystals(path, "structure")) == 3
    with pytest.raises(UserError, match=r"no column `cif` among structure, material_id, gap.*name the column"):
        load_crystals(path)


def test_bad_rows_stay_in_their_places(tmp_path):
    documents = [CRYSTALS[0].as_dict(), 7, {"energy": 1.0}, {"structure": {"lattice": 3}}, CRYSTALS[1].as_dict()]
    (tmp_path / "t.json").write_text(json.dumps(documents))
    read = list(load_crystals(tmp_path / "t.json").readable())
    assert [isinstance(x, Structure) for x in read] == [True, False, False, False, True]
    assert [x.message.partition(":")[0] for x in read[1:4]] == [
        "no dictionary of a structure",
        "neither `sites` nor a dictionary `structure`",
        "structure cannot be read",
    ]


def test_molecules_and_broken_frames_are_no_crystals(tmp_path):
    ase.io.write(tmp_path / "t.xyz", [atoms(CRYSTALS[0]), Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]])])
    with (tmp_path / "t.xyz").open("a") as file:
        file.write('1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3\nCu nowhere 0 0\n')
    salt, molecule, broken = load_crystals(tmp_path / "t.xyz").readable()
    assert isinstance(salt, Structure)
    assert molecule.message == "not periodic in three directions"
    assert broken.message.startswith("frame cannot be read, nor could what follows it")


def test_the_digest_is_that_of_the_crystals_in_their_order(tmp_path):
    packed = write_csv(tmp_path)
    (tmp_path / "plain.csv").write_bytes(gzip.decompress(packed.read_bytes()))
    assert load_crystals(packed).digest == load_crystals(tmp_path / "plain.csv").digest
    (tmp_path / "cifs").mkdir()
    digests = {load_crystals(write_xyz(tmp_path)).digest, load_crystals(packed).digest}
    for name in ("a.cif", "b.cif"):
        CRYSTALS[0].to(filename=str(tmp_path / "cifs" / name))
        digests.add(load_crystals(tmp_path / "cifs").digest)
    assert len(digests) == 4


def test_numbers_are_asked_for_by_name(tmp_path):
    found = load_crystals(write_csv(tmp_path))
    with pytest.raises(UserError, match=r"unknown 'gaps'; choose one of material_id, gap\. Did you mean 'gap'"):
        found.numbers("gaps")
    with pytest.raises(UserError, match="'material_id' does not hold two different numbers"):
        found.numbers("material_id")
    (tmp_path / "cifs").mkdir()
    CRYSTALS[0].to(filename=str(tmp_path / "cifs" / "a.cif"))
    with pytest.raises(UserError, match="nor any other beside its crystals"):
        load_crystals(tmp_path / "cifs").numbers("gap")


def test_empty_cells_and_words_are_unknown_numbers(tmp_path):
    cif = CRYSTALS[0].to(fmt="cif")
    (tmp_path / "t.csv").write_text("cif,gap\n" + "".join(f'"{cif}",{gap}\n' for gap in ("1", "", "metal", "inf", "2")))
    assert np.array_equal(load_crystals(tmp_path / "t.csv").numbers("gap"), [1, *[np.nan] * 3, 2], equal_nan=True)


def test_decimal_commas_are_refused(tmp_path):
    cif = CRYSTALS[0].to(fmt="cif")
    (tmp_path / "t.csv").write_text("cif,gap\n" + "".join(f'"{cif}","{gap}"\n' for gap in ("1", "2", "2,25")))
    with pytest.raises(UserError, match="column 'gap' holds '2,25', a decimal comma"):
        load_crystals(tmp_path / "t.csv").numbers("gap")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.csv", None, "no such file or folder"),
        ("t.docx", b"x", r"format not known\. Give \.csv"),
        ("t.csv", b"", "cannot be read"),
        ("t.csv", b"cif\n", "holds no crystals"),
        ("t.csv.gz", gzip.compress(b"cif\nx", mtime=0)[:-6], "cannot be read"),
        ("t.json", b"{", "cannot be read"),
        ("t.json", b"3", "no list or dictionary of structures"),
        ("t.db", b"no database", "cannot be read"),
        ("t.xyz", b"", "holds no crystals"),
    ],
)
def test_a_bad_file_is_one_line(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        load_crystals(tmp_path / name)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_empty_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"holds no \.cif file"):
        load_crystals(tmp_path)


def test_a_file_that_goes_away_is_a_failure(tmp_path):
    CRYSTALS[0].to(filename=str(tmp_path / "salt.cif"))
    found = load_crystals(tmp_path)
    shutil.rmtree(tmp_path)
    assert isinstance(read_crystal(found.items[0]), EncodeFailure)


def test_disorder_is_read_and_left_to_the_encoder(tmp_path):
    mixed = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5] * 3])
    mixed.to(filename=str(tmp_path / "mixed.cif"))
    assert isinstance(next(load_crystals(tmp_path).readable()), Structure)
