"""Whatever crystals come in, starts, references, training and tables with values read them alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ase.db
import ase.io
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from campaigns.search_space import SearchSpace
from generative.loading import load_crystals
from optimizer.protocols import StartContext
from optimizer.reference_build import read_named
from optimizer.starts import crystals as start_crystals
from optimizer.starts import table as start_table

SALTS = [
    Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, "F"], [[0, 0, 0], [0.5] * 3])
    for a, cation in ((4.03, "Li"), (4.63, "Na"), (5.35, "K"))
]
GAPS = [13.6, 11.5, 10.8]
FORMULAS = ["LiF", "NaF", "KF"]


def as_csv(folder: Path) -> Path:
    pd.DataFrame({"cif": [x.to(fmt="cif") for x in SALTS], "gap_ev": GAPS}).to_csv(folder / "s.csv.gz", index=False)
    return folder / "s.csv.gz"


def as_cifs(folder: Path) -> Path:
    (folder / "cifs").mkdir()
    for number, crystal in enumerate(SALTS):
        crystal.to(filename=str(folder / "cifs" / f"{number}.cif"))
    return folder / "cifs"


def as_ase_database(folder: Path) -> Path:
    with ase.db.connect(folder / "s.db") as database:
        for crystal, gap in zip(SALTS, GAPS, strict=True):
            database.write(AseAtomsAdaptor.get_atoms(crystal, msonable=False), gap_ev=gap)
    return folder / "s.db"


def as_extended_xyz(folder: Path) -> Path:
    frames = [AseAtomsAdaptor.get_atoms(crystal, msonable=False) for crystal in SALTS]
    for frame, gap in zip(frames, GAPS, strict=True):
        frame.info["gap_ev"] = gap
    ase.io.write(folder / "s.extxyz", frames)
    return folder / "s.extxyz"


def as_pymatgen_json(folder: Path) -> Path:
    rows = [{"structure": x.as_dict(), "data": {"gap_ev": gap}} for x, gap in zip(SALTS, GAPS, strict=True)]
    pd.Series(rows).to_json(folder / "s.json", orient="records")
    return folder / "s.json"


WRITERS = (as_csv, as_cifs, as_ase_database, as_extended_xyz, as_pymatgen_json)


@pytest.mark.parametrize("write", WRITERS)
def test_every_reader_finds_the_same_crystals(tmp_path, write: Callable[[Path], Path]):
    path = write(tmp_path)
    trained_on = [x for x in load_crystals(path).readable() if isinstance(x, Structure)]
    begun_with = [each.crystal for each in start(start_crystals, path).crystals(None, SearchSpace(), seed=0)]
    known, refused = read_named(path)
    assert refused == {}
    for found in (trained_on, begun_with, list(known.values())):
        assert [each.composition.reduced_formula for each in found] == FORMULAS
        assert all(each.matches(salt) for each, salt in zip(found, SALTS, strict=True))


@pytest.mark.parametrize("write", [write for write in WRITERS if write is not as_cifs])
def test_values_come_with_them(tmp_path, write: Callable[[Path], Path]):
    found = start(start_table, write(tmp_path)).crystals(None, SearchSpace(), seed=0)
    assert [each.values for each in found] == [{"gap_ev": gap} for gap in GAPS]


def test_a_folder_of_cifs_has_no_values_and_says_so(tmp_path):
    with pytest.raises(ValueError, match="lacks the columns gap_ev; it has cif"):
        start(start_table, as_cifs(tmp_path))


def start(kind, path: Path):
    return kind.build(kind.Params(path=path.name), StartContext(str(path.parent), ("gap_ev",)))
