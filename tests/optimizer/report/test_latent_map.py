"""Candidates on a map of the latent space."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from report_ledgers import novelty

from optimizer.report.latent_map import latent_maps, principal_components, t_sne
from optimizer.report.snapshot import blocks, take_snapshot, thinned


def test_components_keep_the_distances_of_a_plane():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(20, 2)) @ np.linalg.qr(rng.normal(size=(8, 2)))[0].T
    places, shares = principal_components(plane)
    before = np.linalg.norm(plane[:, None] - plane[None], axis=-1)
    after = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert after == pytest.approx(before)
    assert sum(shares) == pytest.approx(1.0)
    assert shares[0] >= shares[1]


def test_neighbours_stay_neighbours_and_the_map_stays_the_same():
    rng = np.random.default_rng(1)
    two = np.concatenate([rng.normal(size=(12, 5)), rng.normal(size=(12, 5)) + 30])
    places = t_sne(two)
    assert np.array_equal(places, t_sne(two))
    middles = places[:12].mean(axis=0), places[12:].mean(axis=0)
    assert np.linalg.norm(middles[0] - middles[1]) > np.linalg.norm(places[:12] - middles[0], axis=1).max()


def test_latents_that_are_all_the_same_have_a_map():
    assert not t_sne(np.ones((8, 3))).any()
    assert not principal_components(np.ones((8, 3)))[0].any()
    assert principal_components(np.arange(4.0)[:, None])[0].shape == (4, 2)


def test_both_maps_show_who_is_known_and_ranked_and_the_way_of_the_search(searched):
    found = latent_maps(take_snapshot(searched), novelty, {"002-0002": 1})
    assert [each.method for each in found.maps] == ["PCA", "t-SNE"]
    assert (found.without, found.left_out) == (0, 0)
    for each in found.maps:
        assert len(each.points) == 12
        assert [p.formula for p in each.points if not p.new] == ["Na2O2"]
        assert [p.rank for p in each.points].count(1) == 1
        assert [(first, last) for first, last, _, _ in each.path] == [(0, 0), (1, 1), (2, 2)]


def test_what_has_no_latent_under_the_generator_in_use_is_counted(searched):
    snapshot = take_snapshot(searched)
    few = dict(list(snapshot.latents.items())[:5])
    found = latent_maps(replace(snapshot, latents=few), novelty, {})
    assert (found.maps, found.without) == ((), 7)


def test_thinning_keeps_what_it_must_and_is_even():
    assert thinned(5, 10) == [0, 1, 2, 3, 4]
    found = thinned(1000, 10, [999, 500])
    assert len(found) == 10
    assert {500, 999} <= set(found)
    assert max(np.diff(found[:8])) < 200
    assert blocks([0, 1, 2, 3, 4, 5, 6], 3) == [(0, 2), (3, 5), (6, 6)]
    assert blocks([], 3) == []
