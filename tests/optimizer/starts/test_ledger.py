"""An older campaign."""

from __future__ import annotations

import pytest
from pymatgen.core import Structure

from campaigns.records import Candidate, Failed, FailureCode, Measured, StageOutcome
from campaigns.search_space import SearchSpace
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from optimizer.protocols import StartContext
from optimizer.starts.ledger import Params, build

PROPOSED = Structure([[3, 0, 0], [0, 3, 0], [0, 0, 3]], ["W"], [[0, 0, 0]])
RELAXED = Structure([[2.7, 0, 0], [0, 2.7, 0], [0, 0, 2.7]], ["W"], [[0, 0, 0]])


@pytest.fixture
def older(tmp_path):
    """One fully measured, one that failed at the second stage, one never evaluated."""
    spec = parse_spec(
        {
            "name": "older",
            "oracles": ["relax", "density"],
            "objectives": {"density_g_cm3": "maximize"},
            "budget": {"oracle_calls": 3},
        }
    )
    with CampaignStore.create(tmp_path / "older", spec, provenance={}) as store:
        candidates = [Candidate(f"000-000{i}", 0, "x", PROPOSED, None, "g") for i in range(3)]
        store.finish_phase(0, "start", candidates=candidates)
        relaxed = StageOutcome("relax", "1", Measured({"energy_ev_atom": -8.0}, RELAXED))
        guessed = Measured({"density_g_cm3": 15.5}, RELAXED, flags=("predicted",))
        store.record("000-0000", [relaxed, StageOutcome("density", "1", guessed)])
        store.record("000-0001", [relaxed, StageOutcome("density", "1", Failed(FailureCode.ORACLE_ERROR, ""))])
    return tmp_path


def given(folder, *properties):
    start = build(Params(path="older"), StartContext(str(folder), properties))
    return list(start.crystals(None, SearchSpace(), seed=0))


def test_what_was_measured_comes_with_the_crystal_it_belongs_to(older):
    good, failed = given(older, "density_g_cm3")
    assert good.values == {"density_g_cm3": 15.5}
    assert good.crystal == RELAXED
    assert good.source == "older 000-0000"
    assert good.flags == ("predicted",)
    assert failed.code is FailureCode.NOT_FOUND


def test_a_property_the_older_campaign_did_not_measure_leaves_nothing(older):
    assert [each.code for each in given(older, "band_gap_ev")] == [FailureCode.NOT_FOUND] * 2


def test_a_folder_without_campaign_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no campaign"):
        build(Params(path="."), StartContext(str(tmp_path), ()))
