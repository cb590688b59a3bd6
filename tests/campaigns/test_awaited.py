"""What is measured outside is in nobody's hand, is no outcome yet, and ends where it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pymatgen.core import Lattice, Structure

from campaigns.records import Candidate, Failed, FailureCode, Measured, StageOutcome, last_values
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore

SPEC = {
    "name": "outside",
    "oracles": ["relax", {"kind": "external", "properties": {"gap_ev": "eV"}}],
    "objectives": {"gap_ev": "maximize"},
    "budget": {"oracle_calls": 10},
}
CRYSTAL = Structure(Lattice.cubic(4.123456789012345), ["Cs", "Cl"], [[0, 0, 0], [1 / 3, 0.5, 0.1]])
RELAXED = CRYSTAL.copy().scale_lattice(65.4321)
HERE = StageOutcome("relax", "1", Measured({"energy_ev_atom": -3.25}, RELAXED, ("odd",), {"steps": 7}, 1.5))


@pytest.fixture
def store(tmp_path, place) -> Iterator[CampaignStore]:
    with CampaignStore.create(tmp_path / "outside", parse_spec(SPEC | place), provenance={}) as store:
        candidates = [Candidate(name, 0, "generator_samples", CRYSTAL, None, "v") for name in ("a", "b")]
        store.finish_phase(0, "start", candidates=candidates)
        yield store


def told(value: float) -> StageOutcome:
    return StageOutcome("external", "1", Measured({"gap_ev": value}, RELAXED))


def test_what_was_measured_here_comes_back_until_the_rest_is_told(store):
    store.await_outside("b", [HERE], package_versions="ase 1")
    store.await_outside("a", [])
    assert [(each.candidate_id, each.stages, each.handed_out_at) for each in store.awaited()] == [
        ("a", (), None),
        ("b", (HERE,), None),
    ]
    assert (store.spent().calls, store.outcomes(), len(store.pending())) == (0, {}, 2)
    store.handed_out(["b"])
    assert [bool(each.handed_out_at) for each in store.awaited()] == [False, True]
    assert store.record("b", [HERE, told(1.5)])
    assert [each.candidate_id for each in store.awaited()] == ["a"]
    assert store.outcomes()["b"] == (HERE, told(1.5))
    assert store.spent().calls == 1


def test_an_outcome_gives_way_only_where_that_is_asked_for(store):
    assert store.record("a", [told(1.0)])
    assert not store.record("a", [told(2.0)])
    assert last_values(store.outcomes()["a"]) == {"gap_ev": 1.0}
    assert store.record(
        "a", [StageOutcome("external", "1", Failed(FailureCode.EXTERNAL_FAILURE, "lost"))], replace=True
    )
    assert last_values(store.outcomes()["a"]) == {}
    (event,) = store.events()
    assert (event.kind, event.data["was"][0]["properties"]) == ("replaced", {"gap_ev": 1.0})
    assert store.spent().calls == 1


def test_only_what_was_proposed_can_be_awaited(store):
    with pytest.raises(ValueError, match="never proposed"):
        store.await_outside("z", [])
    assert store.awaited() == []
