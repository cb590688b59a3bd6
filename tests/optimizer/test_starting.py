"""The start is written once and keeps to the budget."""

from __future__ import annotations

from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
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
