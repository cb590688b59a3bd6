"""Building a reference table: from a CSV, resumed from its checkpoints, the same bytes twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from pymatgen.core import Composition, Lattice, Structure

from optimizer import reference_build
from optimizer.reference_build import main
from optimizer.references import ReferenceTable

CRYSTALS = {
    "mine-2": Structure.from_spacegroup(225, Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "mine-1": Structure.from_spacegroup(229, Lattice.cubic(4.2), ["Na"], [[0, 0, 0]]),
    "lone": Structure(Lattice.cubic(30), ["K"], [[0, 0, 0]]),
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "known.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif"])
        writer.writerows((name, crystal.to(fmt="cif")) for name, crystal in CRYSTALS.items())
    return path


def test_a_table_is_built_and_can_be_loaded(data, tmp_path):
    out = tmp_path / "table.csv.gz"
    main(["--data", str(data), "--out", str(out)])
    table = ReferenceTable.load(out)
    assert table.material_ids == ("lone", "mine-1", "mine-2")
    assert table.space_groups.tolist() == [221, 229, 225]
    assert table.fingerprints[2].startswith("225:ClNa:")
    assert table.energies_ev_atom[2] == pytest.approx(-3.67, abs=0.05)
    assert table.energies_ev_atom[0] != table.energies_ev_atom[0]  # an isolated atom has no CHGNet energy
    distance = table.hull_distance(Composition("NaCl"), table.energies_ev_atom[2])
    assert distance.value_ev_atom == pytest.approx(0, abs=1e-5)
    first = out.read_bytes()
    main(["--data", str(data), "--out", str(out)])
    assert out.read_bytes() == first


def test_what_the_checkpoints_hold_is_not_computed_again(data, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(reference_build, "_energies", lambda batch, device: asked.extend(batch) or [-1.0] * len(batch))
    checkpoint = tmp_path / "energies.json"
    checkpoint.write_text(json.dumps({"mine-1": -1.3, "lone": None}))
    main(["--data", str(data), "--out", str(tmp_path / "t.csv.gz"), "--energies", str(checkpoint)])
    assert len(asked) == 1
    assert json.loads(checkpoint.read_text()) == {"mine-1": -1.3, "lone": None, "mine-2": -1.0}
