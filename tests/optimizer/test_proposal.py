"""A round is proposed once, from what is known, and written down with predictions."""

from __future__ import annotations

import pytest

from campaigns.records import Failed, FailureCode, StageOutcome
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from optimizer.build import build
from optimizer.proposal import propose_phase
from optimizer.starting import start_phase

SPEC = parse_spec(
    {
        "name": "phases",
        "device": "cpu",
        "space": {"n_elements": 2, "n_atoms": [2, 4]},
        "start": [{"kind": "generator_samples", "n": 4}],
        "oracles": ["volume", "density"],
        "objectives": {"density_g_cm3": "maximize"},
        "constraints": {"volume_ang3_atom": {"max": 100.0}},
        "pool_size": 32,
        "batch_size": 2,
        "budget": {"oracle_calls": 3},
    }
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return build(SPEC, tmp_path_factory.mktemp("campaign"))


@pytest.fixture
def store(tmp_path):
    with CampaignStore.create(tmp_path / "run", SPEC, provenance={}) as store:
        yield store


def silent(text):
    pass


def measure(parts, store):
    for candidate in store.pending():
        store.record(candidate.id, parts.cascade.evaluate(candidate.crystal, 0))


def test_a_round_proposes_what_is_new_in_the_campaign_with_predictions(parts, store):
    start_phase(parts, store, silent)
    measure(parts, store)
    assert propose_phase(parts, store, 1, 2, silent) == 2
    proposed = store.candidates(1)
    assert [c.id for c in proposed] == ["001-0000", "001-0001"]
    for candidate in proposed:
        assert set(candidate.predicted) == {"density_g_cm3", "volume_ang3_atom"}
        assert all(sd > 0 for _, sd in candidate.predicted.values())
        (decoded,) = parts.generator.decode(_tensor(candidate.z), within=SPEC.space, seed=0)
        assert decoded == candidate.crystal
    assert propose_phase(parts, store, 1, 2, silent) == 2
    assert store.candidates(1) == proposed
    figures = next(r.figures for r in store.rounds() if r.phase == "propose")
    assert figures["pool"]["drawn"] == 32
    assert sum(figures["chosen_arms"].values()) == 2


def test_where_everything_failed_a_round_still_proposes(parts, store):
    start_phase(parts, store, silent)
    for candidate in store.pending():
        store.record(candidate.id, [StageOutcome("volume", "1", Failed(FailureCode.ORACLE_ERROR, ""))])
    assert propose_phase(parts, store, 1, 2, silent) == 2


def test_where_nothing_was_measured_a_round_samples_the_prior(parts, store):
    store.finish_phase(0, "start", figures={"labels": {}})
    assert propose_phase(parts, store, 1, 2, silent) == 2
    assert {c.arm for c in store.candidates(1)} == {"prior"}


def _tensor(z):
    import torch

    return torch.tensor([z], dtype=torch.float64)
