"""The start is written once and keeps to the budget."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from generative.representations.wyckoff import fingerprint
from optimizer.build import build
from optimizer.starting import start_phase

SPEC = parse_spec(
    {
        "name": "start",
        "device": "cpu",
        "space": {"n_elements": 2, "n_atoms": [2, 4]},
        "start": [{"kind": "generator_samples", "n": 4}],
        "oracles": ["density"],
        "objectives": {"density_g_cm3": "maximize"},
        "budget": {"oracle_calls": 3},
    }
)


def test_every_labelled_crystal_of_one_fingerprint_is_a_measurement(tmp_path):
    """Of four cells without symmetry, with the same fingerprint, two are the same crystal."""
    draw = np.random.default_rng(0)
    cells = [Structure(Lattice.from_parameters(4, 5, 6, 80, 95, 100), ["Ti", "O"], draw.random((2, 3)))]
    cells += [Structure(Lattice.from_parameters(5, 4.5, 7, 70, 90, 105), ["Ti", "O"], draw.random((2, 3)))]
    cells += [Structure(Lattice.from_parameters(9, 4, 5, 75, 85, 95), ["Ti", "O"], draw.random((2, 3)))]
    cells.append(cells[0].copy())
    assert len({fingerprint(cell) for cell in cells}) == 1
    table = pd.DataFrame({"cif": [cell.to(fmt="cif") for cell in cells], "density_g_cm3": [1.0, 2.0, 3.0, 1.0]})
    table.to_csv(tmp_path / "mine.csv", index=False)
    spec = parse_spec(SPEC.model_dump(mode="json") | {"start": [{"kind": "table", "path": "mine.csv"}]})
    with CampaignStore.create(tmp_path / "run", spec, provenance={}) as store:
        start_phase(build(spec, tmp_path), store, lambda text: None)
        (record,) = store.rounds()
        assert sorted(values["density_g_cm3"] for values in record.figures["labels"].values()) == [1.0, 2.0, 3.0]
        assert record.failures == {"duplicate": 1}


def test_the_start_takes_no_more_than_the_budget_and_is_written_once(tmp_path):
    parts = build(SPEC, tmp_path)
    with CampaignStore.create(tmp_path / "run", SPEC, provenance={}) as store:
        start_phase(parts, store, lambda text: None)
        first = store.candidates()
        assert len(first) == 3  # of 4 asked for
        assert len({c.id for c in first}) == 3
        assert all(c.round == 0 and c.arm == "generator_samples" for c in first)
        assert all(len(c.z) == parts.generator.latent_dim for c in first)
        start_phase(parts, store, lambda text: None)
        assert store.candidates() == first
