"""Which column is a guess of which property, and that an oracle's own answers are never among them."""

from __future__ import annotations

import pytest
import torch
from pymatgen.core import Lattice, Structure
from small_campaign import SMALL

from campaigns.spec import parse_spec
from optimizer.build import Parts, build
from optimizer.descriptors import KNOWN_HULL, descriptors
from optimizer.surrogate_inputs import guesses, surrogate_inputs
from surrogates.predictors.cgcnn import predict

SALT = Structure.from_spacegroup(
    225, Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]
).get_primitive_structure()
GAP = {"kind": "cgcnn", "properties": ["band_gap_ev"]}


def _parts(folder, oracles, **changes) -> Parts:
    goal = {"objectives": {"formation_energy_ev_atom": "minimize"}, "oracles": oracles}
    return build(parse_spec(SMALL | goal | changes), folder)


def _inputs(parts: Parts) -> torch.Tensor:
    z = torch.zeros(1, parts.generator.latent_dim, dtype=torch.float64)
    return surrogate_inputs(parts, z, [SALT])


@pytest.fixture
def parts(tmp_path) -> Parts:
    bound = {"constraints": {"energy_above_hull_ev_atom": {"max": 0.1}}}
    return _parts(tmp_path, ["formation_energy", {"kind": "energy_above_hull", "competing_phases": 0}, GAP], **bound)


def test_a_guess_is_in_the_unit_of_its_property(parts):
    row, column = _inputs(parts)[0], guesses(parts)
    (formation, _, _) = predict(SALT, ["formation_energy_ev_atom"])
    hull = float(descriptors([SALT], parts.references)[0, KNOWN_HULL])
    assert float(row[column["formation_energy_ev_atom"]]) == pytest.approx(formation["formation_energy_ev_atom"])
    above = formation["formation_energy_ev_atom"] - hull
    assert float(row[column["energy_above_hull_ev_atom"]]) == pytest.approx(above)


def test_what_an_oracle_takes_from_the_networks_is_no_input(parts, tmp_path):
    width = _inputs(parts).shape[1]
    elsewhere = _parts(tmp_path, ["formation_energy", {"kind": "energy_above_hull", "competing_phases": 0}])
    assert _inputs(elsewhere).shape[1] == width + 2  # the gap, and whether it is a metal
    everything = _parts(tmp_path, [{"kind": "cgcnn", "properties": ["band_gap_ev", "formation_energy_ev_atom"]}])
    assert guesses(everything) == {}


def test_a_campaign_can_do_without(tmp_path):
    without = _parts(tmp_path, ["formation_energy"], prior_mean=False)
    assert guesses(without) == {}
    assert _inputs(without).shape[1] < _inputs(_parts(tmp_path, ["formation_energy"])).shape[1]
