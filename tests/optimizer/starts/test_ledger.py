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


def given(folder, *properties, version="1"):
    sources = dict.fromkeys(properties, ("g/cm^3", version))
    start = build(Params(path="older"), StartContext(str(folder), properties, sources))
    return list(start.crystals(None, SearchSpace(), seed=0))


def test_what_was_measured_comes_with_the_crystal_it_belongs_to(older):
    good, failed = given(older, "density_g_cm3")
    assert good.values == {"density_g_cm3": 15.5}
    assert good.crystal == RELAXED
    assert good.source == "older 000-0000"
    assert good.flags == ("predicted",)
    assert failed.code is FailureCode.NOT_FOUND


def test_values_of_another_oracle_say_so(older):
    good, _ = given(older, "density_g_cm3", version="2")
    assert good.flags == ("predicted", "given_by_another_oracle")


def test_what_was_told_with_an_uncertainty_keeps_it_and_another_unit_is_refused(tmp_path):
    asked = {"kind": "external", "properties": {"gap": "meV"}}
    spec = {"name": "older", "oracles": [asked], "objectives": {"gap": "maximize"}, "budget": {"oracle_calls": 3}}
    with CampaignStore.create(tmp_path / "older", parse_spec(spec), provenance={}) as store:
        store.finish_phase(0, "start", candidates=[Candidate("000-0000", 0, "x", PROPOSED, None, "g")])
        told = Measured({"gap": 7020.0}, PROPOSED, details={"uncertainties": {"gap": 200.0}})
        store.record("000-0000", [StageOutcome("external", "external-1 gap [meV]", told)])

    def begun(unit):
        context = StartContext(str(tmp_path), ("gap",), {"gap": (unit, f"external-1 gap [{unit}]")})
        return list(build(Params(path="older"), context).crystals(None, SearchSpace(), seed=0))

    (only,) = begun("meV")
    assert (only.values, only.uncertainties, only.flags) == ({"gap": 7020.0}, {"gap": 200.0}, ())
    with pytest.raises(ValueError, match="gap was measured in 'meV' there, and is in 'eV' here"):
        begun("eV")


def test_a_property_the_older_campaign_did_not_measure_leaves_nothing(older):
    assert [each.code for each in given(older, "band_gap_ev")] == [FailureCode.NOT_FOUND] * 2


def test_a_folder_without_campaign_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no campaign"):
        build(Params(path="."), StartContext(str(tmp_path), ()))
