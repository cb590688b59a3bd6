"""What every kind of start must do, discovered as a user's own kinds are."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from pydantic import BaseModel
from pymatgen.core import Structure

from campaigns.errors import SpecError
from campaigns.kinds import available_kinds, build_kind, load_kind
from campaigns.records import Candidate, Measured, StageOutcome
from campaigns.spec import KindSpec, SearchSpace, parse_spec
from campaigns.store import CampaignStore
from generative.models.wyckoff_vae import Params, build
from generative.protocols import DecodeFailure
from optimizer.protocols import StartContext, StartCrystal

KINDS = sorted(available_kinds("start"))
CRYSTAL = Structure([[2.8, 0, 0], [0, 2.8, 0], [0, 0, 3.7]], ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
PROPERTY = "density_g_cm3"


@pytest.fixture(scope="module")
def generator():
    return build(Params(weights="bundled"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file, a table and an older campaign with one crystal each."""
    place = tmp_path_factory.mktemp("start")
    CRYSTAL.to(filename=str(place / "seed.cif"))
    pd.DataFrame({"cif": [CRYSTAL.to(fmt="cif")], PROPERTY: [14.8]}).to_csv(place / "table.csv", index=False)
    spec = parse_spec(
        {"name": "old", "oracles": ["density"], "objectives": {PROPERTY: "maximize"}, "budget": {"oracle_calls": 1}}
    )
    with CampaignStore.create(place / "old", spec, provenance={}) as store:
        candidate = Candidate("000-0000", 0, "crystals", CRYSTAL, None, "g")
        store.finish_phase(0, "start", candidates=[candidate])
        store.record(candidate.id, [StageOutcome("density", "1", Measured({PROPERTY: 14.8}, CRYSTAL))])
    return place


PARAMS = {
    "crystals": {"path": "seed.cif"},
    "generator_samples": {"n": 2},
    "ledger": {"path": "old"},
    "table": {"path": "table.csv"},
}


def test_this_suite_knows_every_kind():
    assert sorted(PARAMS) == KINDS


@pytest.fixture(params=KINDS)
def start(request, folder):
    spec = KindSpec(kind=request.param, **PARAMS[request.param])
    return build_kind("start", spec, StartContext(str(folder), (PROPERTY,)), "start.0")


def first(start, generator, n=4, seed=1):
    found = []
    for each in start.crystals(generator, SearchSpace(), seed=seed):
        found.append(each)
        if len(found) == n:
            break
    return found


def test_it_yields_crystals_or_reasons(start, generator):
    found = first(start, generator)
    assert found
    assert all(isinstance(each, StartCrystal | DecodeFailure) for each in found)
    for each in found:
        if isinstance(each, StartCrystal):
            assert each.crystal.is_ordered
            assert each.values is None or set(each.values) == {PROPERTY}
            assert each.z is None or (each.z.shape == (generator.latent_dim,) and each.z.dtype == torch.float64)


def test_the_same_seed_gives_the_same(start, generator):
    once, again = first(start, generator), first(start, generator)
    assert [getattr(each, "crystal", each) for each in once] == [getattr(each, "crystal", each) for each in again]


def test_it_says_how_many_and_whether_known_materials_may_be_taken(start):
    assert start.limit is None or start.limit > 0
    assert isinstance(start.allow_known, bool)


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_a_strict_model_with_descriptions(kind):
    params = load_kind("start", kind).Params
    assert issubclass(params, BaseModel)
    assert params.model_config["extra"] == "forbid"
    assert all(field.description for field in params.model_fields.values())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "path" in PARAMS[kind]])
def test_a_missing_path_is_refused_when_the_campaign_is_built(kind, tmp_path):
    with pytest.raises(SpecError, match=r"^start\.0: path: .*nowhere.*does not exist"):
        build_kind("start", KindSpec(kind=kind, path="nowhere"), StartContext(str(tmp_path), (PROPERTY,)), "start.0")
