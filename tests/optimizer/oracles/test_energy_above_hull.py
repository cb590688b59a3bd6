"""Distance to the hull of the known phases."""

from __future__ import annotations

import gzip
from importlib.resources import files
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from campaigns.records import Measured
from optimizer.oracles import energy_above_hull
from optimizer.oracles.energy_above_hull import Params, build
from optimizer.protocols import OracleContext


def _crystal(a: str, b: str, edge: float, group: int = 225) -> Structure:
    where = [0.5] * 3 if group != 216 else [0.25] * 3
    return Structure.from_spacegroup(group, Lattice.cubic(edge), [a, b], [[0, 0, 0], where]).get_primitive_structure()


def test_a_known_phase_is_on_or_above_its_hull_and_an_alloy_of_salts_is_flagged():
    crystals = [_crystal("Pr", "O", 5.1), _crystal("Ba", "Ti", 6.5)]
    outcomes = dict(build(Params(competing_phases=0), OracleContext("cpu")).evaluate(crystals, seed=0))
    assert isinstance(outcomes[0], Measured)
    assert outcomes[0].values["energy_above_hull_ev_atom"] > -0.05
    assert outcomes[0].details["n_known_phases"] > 0
    assert "hull_sparse" not in outcomes[0].flags
    assert isinstance(outcomes[1], Measured)
    assert outcomes[1].values["energy_above_hull_ev_atom"] > 0.1
    assert outcomes[1].flags == ("hull_sparse",)
    assert outcomes[1].details["n_known_phases"] == outcomes[1].details["n_competing_phases"] == 0
    assert outcomes[1].details["sparse_edges"] == ["Ba-Ti"]
    assert outcomes[1].details["decomposes_to"] == ["Ba", "Ti"]


def test_far_below_a_hull_with_all_its_edges_is_flagged(monkeypatch):
    """Below Mg3N2, known by its formula alone, lies nothing; a potential that says so is not to be believed."""
    nitride, oracle = _crystal("Mg", "N", 4.3), build(Params(competing_phases=0), OracleContext("cpu"))
    ((_, outcome),) = oracle.evaluate([nitride], seed=0)
    assert isinstance(outcome, Measured)
    assert outcome.values["energy_above_hull_ev_atom"] > 0
    assert outcome.details["decomposes_to"] == ["Mg3N2 (Materials Project)", "N"]
    assert outcome.flags == ()
    monkeypatch.setattr(energy_above_hull, "single_point_energy", lambda *_: -8.0)
    ((_, outcome),) = oracle.evaluate([nitride], seed=0)
    assert outcome.flags == ("far_below_hull",)


def test_check_is_told_what_its_time_leaves_out():
    assert build(Params(competing_phases=0), OracleContext("cpu")).notes == ()
    (note,) = build(Params(competing_phases=2), OracleContext("cpu")).notes
    assert "seconds for each new composition" in note


def test_a_users_table_is_found_beside_the_campaign_file_and_named_in_the_version(tmp_path: Path):
    bundled = files("optimizer").joinpath("data/reference.csv.gz").read_bytes()
    (tmp_path / "mine.csv").write_bytes(gzip.decompress(bundled))
    mine = build(Params(reference="mine.csv"), OracleContext("cpu", str(tmp_path)))
    assert mine.version == build(Params(), OracleContext("cpu")).version
    text = (tmp_path / "mine.csv").read_text().splitlines()[:50]
    (tmp_path / "fewer.csv").write_text("\n".join(text) + "\n")
    fewer = build(Params(reference="fewer.csv"), OracleContext("cpu", str(tmp_path)))
    assert fewer.version != mine.version


def test_what_cannot_work_is_refused_when_it_is_built(tmp_path: Path):
    with pytest.raises(ValueError, match="No such file"):
        build(Params(reference="none.csv"), OracleContext("cpu", str(tmp_path)))
    with pytest.raises(
        ValueError, match=r"holds energies of chgnet-0\.3\.0, but the calculator here is ase\.calculators\.emt:EMT"
    ):
        build(Params(calculator="ase.calculators.emt:EMT"), OracleContext("cpu"))
