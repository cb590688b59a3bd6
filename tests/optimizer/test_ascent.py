"""A round climbs: what it draws after the fit lies near what the acquisition wants, and is screened like the rest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import pytest
import torch

from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from generative.representations.wyckoff import fingerprint
from optimizer.ascent import ASCENT, Offer, climb, latents_of_ascent, wave_sizes
from optimizer.build import build
from optimizer.pool import pool_of
from optimizer.portfolio import FIRST_SHARES
from optimizer.proposal import proposal
from optimizer.screening import screen
from optimizer.starting import start_phase
from optimizer.trust_region import TrustRegion

SPEC = parse_spec(
    {
        "name": "climbing",
        "device": "cpu",
        "space": {"n_elements": [2, 3], "n_atoms": [2, 6]},
        "start": [{"kind": "generator_samples", "n": 6}],
        "oracles": ["density"],
        "objectives": {"density_g_cm3": "maximize"},
        "pool_size": 64,
        "batch_size": 4,
        "descriptors": False,
        "budget": {"oracle_calls": 20},
    }
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return build(SPEC, tmp_path_factory.mktemp("campaign"))


@dataclass(frozen=True)
class Heaviest:
    """An acquisition that knows the answer: the densest of the crystals in the pool, told by their inputs."""

    density: dict[tuple[float, ...], float]

    def propose(self, fitted, objective, context, *, q, seed):
        values = torch.tensor([self.density[tuple(row.tolist())] for row in context.pool])
        return values.argsort(descending=True)[:q]


@dataclass(frozen=True)
class Diagonal(Heaviest):
    """One that has a gradient as well, the same along every coordinate."""

    def gain(self, fitted, objective, context, *, q, seed):
        return lambda rows: rows.sum(1)


def climbed(parts, monkeypatch, n, seed=5, kind=Heaviest):
    known: dict[tuple[float, ...], float] = {}

    def inputs(pool, parts):
        known.update((tuple(z.tolist()), x.density) for z, x in zip(pool.z, pool.crystals, strict=True))
        return pool.z

    monkeypatch.setattr("optimizer.pool.Pool.inputs", inputs)
    parts = replace(parts, acquisition=kind(known))
    d, seen = parts.generator.latent_dim, set()
    nowhere = TrustRegion(torch.empty(0, d, dtype=torch.float64), 0.8)
    pool, failures = pool_of(parts, nowhere, {"prior": 1.0}, 48, seen, seed)
    nothing = torch.empty(0, d, dtype=torch.float64)
    offer = Offer(pool, pool.inputs(parts), None, nothing, nothing, parts.objective)
    return pool, climb(parts, offer, n, seen, failures, 1), failures


def test_waves_climb_what_the_acquisition_values(parts, monkeypatch):
    before, offer, _ = climbed(parts, monkeypatch, 48)
    assert offer.pool.crystals[: len(before)] == before.crystals
    added = offer.pool.crystals[len(before) :]
    assert set(offer.pool.arms[len(before) :]) == {ASCENT}
    dense = sorted((x.density for x in before.crystals), reverse=True)
    assert max(x.density for x in added) > dense[0]
    assert sum(x.density for x in added) / len(added) > sum(dense) / len(dense)


def test_what_a_wave_adds_is_new_screened_and_the_same_again(parts, monkeypatch):
    before, offer, failures = climbed(parts, monkeypatch, 36)
    _, again, _ = climbed(parts, monkeypatch, 36)
    assert again.pool.crystals == offer.pool.crystals
    marks = [fingerprint(x) for x in offer.pool.crystals]
    assert len(set(marks)) == len(marks)
    assert all(screen(x, SPEC.space) is None for x in offer.pool.crystals)
    assert len(offer.pool) + sum(failures.values()) == 48 + 36
    for z, crystal in zip(offer.pool.z[len(before) :], offer.pool.crystals[len(before) :], strict=True):
        assert parts.generator.decode(z[None], within=SPEC.space, seed=0) == [crystal]


def test_the_last_waves_follow_a_gradient_where_there_is_one(parts, monkeypatch):
    _, blind, _ = climbed(parts, monkeypatch, 64)
    _, offer, failures = climbed(parts, monkeypatch, 64, kind=Diagonal)
    assert wave_sizes(64, 0) == [16] * 4
    assert len(offer.pool) + sum(failures.values()) == 48 + 64
    alike = sum(x == y for x, y in zip(blind.pool.crystals, offer.pool.crystals, strict=False))
    starts, moved = offer.pool.z[:alike], offer.pool.z[alike:]
    assert len(moved)
    for z in moved:
        steps = z - starts
        along = steps[steps.std(dim=1) < 1e-6]
        assert len(along)
        assert (along > 0).all()


def test_a_round_draws_as_many_latents_as_the_pool_is_large(parts, tmp_path):
    with CampaignStore.create(tmp_path / "run", SPEC, provenance={}) as store:
        start_phase(parts, store, lambda text: None)
        for candidate in store.pending():
            store.record(candidate.id, parts.cascade.evaluate(candidate.crystal, 0))
        made = proposal(parts, store, 1, 4, lambda text: None)
    arms = Counter(made.figures["pool"]["arms"])
    assert arms[ASCENT] > 0
    assert arms.total() + sum(made.failures.values()) == SPEC.pool_size
    assert latents_of_ascent(parts, FIRST_SHARES) == 32


def test_waves_are_fewer_where_a_pool_is_small_or_choosing_takes_long():
    assert wave_sizes(480, 48) == [30] * 16
    assert wave_sizes(100, 48) == [16, 17, 17, 16, 17, 17]
    assert wave_sizes(11, 48) == [11]
    assert wave_sizes(480, 2500) == [240, 240]
    assert wave_sizes(480, 50_000) == [480]
    assert wave_sizes(0, 0) == [0]
