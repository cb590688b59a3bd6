"""The region follows from the history alone; the pool keeps the prior's norm and says which arm made each
row.
"""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from campaigns.goals import Constraint, Objective
from optimizer.objective import CampaignObjective
from optimizer.trust_region import (
    INITIAL_LENGTH,
    LARGEST_LENGTH,
    SMALLEST_LENGTH,
    Observation,
    TrustRegion,
    latent_pool,
    spherical_interpolation,
    trust_region,
)

OBJECTIVE = CampaignObjective(
    (("bulk_modulus_gpa", Objective(goal="maximize")),), (("density_g_cm3", Constraint(max=10)),)
)


def _seen(round_: int, modulus: float | None, density: float = 5.0, z: tuple[float, ...] | None = (0.0, 0.0)):
    values = None if modulus is None else {"bulk_modulus_gpa": modulus, "density_g_cm3": density}
    return Observation(round_, z, values)


def _length(*bests: float) -> float:
    return trust_region([_seen(i, best) for i, best in enumerate(bests)], OBJECTIVE, 2).length


def test_centres_are_the_best_feasible_in_order():
    history = [
        _seen(0, 100, z=(1.0, 0.0)),
        _seen(0, 300, density=20, z=(2.0, 0.0)),
        _seen(0, None, z=(3.0, 0.0)),
        _seen(1, 200, z=(4.0, 0.0)),
        _seen(1, 250, z=None),
    ]
    region = trust_region(history, OBJECTIVE, 2)
    assert region.centers.tolist() == [[4.0, 0.0], [1.0, 0.0]]
    assert trust_region(history, OBJECTIVE, 2, centers=1).centers.tolist() == [[4.0, 0.0]]


def test_least_violating_stands_in_while_nothing_is_feasible():
    history = [
        _seen(0, 300, density=20, z=(2.0, 0.0)),
        _seen(0, 100, density=11, z=(1.0, 0.0)),
        _seen(0, None),
    ]
    assert trust_region(history, OBJECTIVE, 2).centers.tolist() == [[1.0, 0.0], [2.0, 0.0]]


@pytest.mark.parametrize("history", [[], [_seen(0, None), _seen(1, None)]])
def test_without_any_value_there_is_no_centre(history):
    region = trust_region(history, OBJECTIVE, 2)
    assert region.centers.shape == (0, 2)
    assert math.isfinite(region.length)


def test_length_doubles_with_successes_and_halves_without():
    assert _length(100) == INITIAL_LENGTH
    assert _length(100, 110) == INITIAL_LENGTH
    assert _length(100, 110, 120) == LARGEST_LENGTH
    assert _length(100, 110, 120, 130, 140) == LARGEST_LENGTH
    assert _length(100, 90, 80) == INITIAL_LENGTH / 2
    assert _length(100, 100.05, 100.05) == INITIAL_LENGTH / 2  # a gain below 0.1 % is none
    assert _length(100, 90, 110, 80) == INITIAL_LENGTH  # neither in a row


def test_length_starts_over_below_its_minimum():
    region = trust_region([_seen(i, 100) for i in range(11)], OBJECTIVE, 2)
    assert region.restarts == 1
    assert region.length == INITIAL_LENGTH
    assert SMALLEST_LENGTH < INITIAL_LENGTH


def test_becoming_feasible_is_a_success():
    before = [_seen(0, 900, density=30), _seen(1, 900, density=20)]
    assert trust_region(before, OBJECTIVE, 2).successes == 1
    region = trust_region([*before, _seen(2, 1)], OBJECTIVE, 2)
    assert region.length == LARGEST_LENGTH


def test_the_first_value_after_failures_is_a_success():
    history = [_seen(0, None), _seen(1, 900, density=30), _seen(2, 900, density=20)]
    assert trust_region(history[:2], OBJECTIVE, 2).successes == 1
    assert trust_region(history, OBJECTIVE, 2).length == LARGEST_LENGTH


def test_two_goals_progress_by_hypervolume():
    both = CampaignObjective(
        (("bulk_modulus_gpa", Objective(goal="maximize")), ("density_g_cm3", Objective(goal="minimize")))
    )
    history = [_seen(0, 100, 5.0), _seen(1, 90, 4.0), _seen(2, 80, 3.0)]
    assert trust_region(history, both, 2).length == LARGEST_LENGTH


def test_latents_of_another_dimension_are_refused():
    with pytest.raises(ValueError, match="3 entries"):
        trust_region([_seen(0, 100)], OBJECTIVE, 3)


MIX = {"trust_region": 0.5, "crossover": 0.2, "substitution": 0.1, "prior": 0.2}


def _region(k: int, d: int, length: float = 0.8) -> TrustRegion:
    centers = torch.randn(k, d, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return TrustRegion(centers, length)


def test_pool_has_the_asked_shape_and_shares():
    z, arms = latent_pool(_region(5, 32), 1000, 32, 3, mix=MIX)
    assert z.shape == (1000, 32)
    assert z.dtype == torch.float64
    assert Counter(arms) == {"trust_region": 500, "crossover": 200, "substitution": 100, "prior": 200}
    assert set(MIX) == set(arms[:40])  # a prefix is mixed too


def test_pool_follows_from_its_seed():
    first, again, other = (latent_pool(_region(5, 8), 50, 8, seed, mix=MIX) for seed in (3, 3, 4))
    assert torch.equal(first[0], again[0])
    assert first[1] == again[1]
    assert not torch.equal(first[0], other[0])


def test_every_arm_keeps_the_norm_of_the_prior():
    d = 64
    z, arms = latent_pool(_region(8, d), 3000, d, 0, mix=MIX)
    for arm in MIX:
        norms = z[[a == arm for a in arms]].norm(dim=1)
        assert 0.85 * d**0.5 < float(norms.mean()) < 1.15 * d**0.5
        assert float(norms.max()) < 1.6 * d**0.5


def test_perturbations_move_some_coordinates_of_a_centre_and_shrink_with_the_length():
    steps = []
    for length in (0.8, 0.1):
        region = _region(3, 64, length)
        z, _ = latent_pool(region, 300, 64, 0, mix={"trust_region": 1.0})
        distance = torch.cdist(z, region.centers)
        nearest = region.centers[distance.argmin(1)]
        moved = (z != nearest).sum(1).double()
        assert float(moved.min()) >= 1
        assert float(moved.mean()) == pytest.approx(21, abs=3)
        steps.append(float(distance.min(1).values.mean()))
    assert steps[1] < steps[0] / 4


def test_what_is_to_be_substituted_are_centres_the_best_most_often():
    region = _region(4, 16)
    z, _ = latent_pool(region, 400, 16, 0, mix={"substitution": 1.0})
    times = [int((z == center).all(dim=1).sum()) for center in region.centers]
    assert sum(times) == 400
    assert times == sorted(times, reverse=True)


def test_few_centres_shift_the_shares():
    assert set(latent_pool(_region(0, 4), 20, 4, 0, mix=MIX)[1]) == {"prior"}
    assert set(latent_pool(_region(1, 4), 20, 4, 0, mix=MIX)[1]) == {"trust_region", "substitution", "prior"}
    assert latent_pool(_region(2, 4), 0, 4, 0, mix=MIX)[0].shape == (0, 4)


def test_unknown_or_empty_mixes_are_refused():
    with pytest.raises(ValueError, match="unknown arms"):
        latent_pool(_region(2, 4), 5, 4, 0, mix={"gradient": 1.0})
    with pytest.raises(ValueError, match="shares"):
        latent_pool(_region(2, 4), 5, 4, 0, mix={"prior": 0.0})


def test_spherical_interpolation_stays_between_and_handles_degenerate_pairs():
    left, right = torch.tensor([[2.0, 0.0]]).double(), torch.tensor([[0.0, 4.0]]).double()
    half = torch.tensor([[0.5]]).double()
    assert float(spherical_interpolation(left, right, half).norm()) == pytest.approx(3.0)
    assert spherical_interpolation(left, right, torch.ones(1, 1).double()).tolist() == [[2.0, 0.0]]
    for other in (left, -left, torch.zeros_like(left)):
        assert torch.isfinite(spherical_interpolation(left, other, half)).all()
