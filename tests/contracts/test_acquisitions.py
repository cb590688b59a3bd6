"""What every acquisition kind must do. A new kind inherits these tests by existing."""

from __future__ import annotations

from functools import cache
from itertools import product

import pytest
import torch
from torch import Tensor

from campaigns.goals import Constraint, Objective
from campaigns.kinds import build_kind, load_kind
from campaigns.search_space import SearchSpace
from campaigns.spec import KindSpec
from optimizer.gradient_ascent import STEPS, gradient_ascent
from optimizer.objective import CampaignObjective
from optimizer.protocols import Acquisition, DifferentiableAcquisition, ProposalContext
from surrogates.models import exact_gp
from surrogates.protocols import FittedSurrogate, SurrogateContext

ROLE = "acquisition"
D = 4
ONE = CampaignObjective((("bulk_modulus_gpa", Objective(goal="maximize")),), (("density_g_cm3", Constraint(max=6)),))
TWO = CampaignObjective(
    (("bulk_modulus_gpa", Objective(goal="maximize")), ("density_g_cm3", Objective(goal="minimize")))
)
TARGET = CampaignObjective((("density_g_cm3", Objective(goal="target", target=4.0)),))

one_or_two_goals = pytest.mark.parametrize("objective", [ONE, TWO], ids=["one", "two"])


def _build(kind: str) -> Acquisition:
    return build_kind(ROLE, KindSpec(kind=kind), None, ROLE)


def _latents(n: int, seed: int) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _values(z: Tensor) -> list[dict[str, float] | None]:
    return [
        None if row[2] < -1.2 else {"bulk_modulus_gpa": float(150 + 30 * row[0]), "density_g_cm3": float(5 + row[1])}
        for row in z
    ]


@cache
def _fit(objective: CampaignObjective, n: int, device: str = "cpu", outcome: str = "measured") -> FittedSurrogate:
    """A surrogate that has seen `_latents(n, 0)`: what was measured there, the same everywhere, or failures only."""
    z = _latents(n, 0)
    constant = {"bulk_modulus_gpa": 100.0, "density_g_cm3": 5.0}
    y, observed = objective.table({"measured": _values(z), "constant": [constant] * n, "failed": [None] * n}[outcome])
    surrogate = exact_gp.build(
        exact_gp.Params(kernel="rbf"), SurrogateContext(torch.device(device), objective.outcomes)
    )
    return surrogate.fit(z.to(device), y.to(device), observed=observed.to(device))


def _context(pool: Tensor, observed_z: Tensor, pending: Tensor | None = None, device: str = "cpu") -> ProposalContext:
    """As the loop makes it: every tensor float64 on the CPU, the device for the acquisition to compute on."""
    none = torch.empty(0, D, dtype=torch.float64)
    return ProposalContext(pool, observed_z, none if pending is None else pending, torch.device(device), SearchSpace())


def _check(chosen: Tensor, n: int, expected: int) -> None:
    assert chosen.dtype == torch.int64
    assert chosen.device.type == "cpu"
    assert chosen.shape == (expected,)
    assert len(set(chosen.tolist())) == expected
    assert all(0 <= i < n for i in chosen.tolist())


@pytest.mark.parametrize("objective", [ONE, TWO, TARGET], ids=["one", "two", "target"])
def test_a_batch_is_q_different_rows_and_follows_from_the_seed(kind, device, objective, disturb):
    z = _latents(15, 0)
    fitted, context = _fit(objective, 15, device), _context(_latents(60, 1), z, device=device)
    results = []
    for number in (1, 2):
        disturb(number)
        results.append(_build(kind).propose(fitted, objective, context, q=5, seed=11))
    _check(results[0], 60, 5)
    assert torch.equal(results[0], results[1])


def test_parameters_written_out_in_full_choose_the_same(kind):
    """As in the resolved copy of the campaign file, from which a run is resumed."""
    params = load_kind(ROLE, kind).Params().model_dump(mode="json")
    z = _latents(15, 0)
    fitted, context = _fit(ONE, 15), _context(_latents(30, 1), z)
    resolved = build_kind(ROLE, KindSpec(kind=kind, **params), None, ROLE)
    chosen = [each.propose(fitted, ONE, context, q=3, seed=4) for each in (_build(kind), resolved)]
    assert torch.equal(*chosen)


@pytest.mark.parametrize(("n", "q", "expected"), [(0, 8, 0), (1, 8, 1), (3, 8, 3), (5, 5, 5), (5, 0, 0)])
def test_a_small_pool_is_used_up(kind, device, n, q, expected):
    z = _latents(10, 0)
    context = _context(_latents(n, 1), z, device=device)
    chosen = _build(kind).propose(_fit(ONE, 10, device), ONE, context, q=q, seed=0)
    _check(chosen, n, expected)


@one_or_two_goals
@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_observation(kind, objective, n):
    z = _latents(n, 0)
    chosen = _build(kind).propose(_fit(objective, n), objective, _context(_latents(20, 1), z), q=4, seed=0)
    _check(chosen, 20, 4)


@one_or_two_goals
def test_every_candidate_failed(kind, objective):
    z = _latents(12, 0)
    fitted = _fit(objective, 12, outcome="failed")
    _check(_build(kind).propose(fitted, objective, _context(_latents(20, 1), z), q=4, seed=0), 20, 4)


@one_or_two_goals
def test_constant_outcomes(kind, objective):
    z = _latents(12, 0)
    fitted = _fit(objective, 12, outcome="constant")
    _check(_build(kind).propose(fitted, objective, _context(_latents(20, 1), z), q=4, seed=0), 20, 4)


@one_or_two_goals
def test_what_is_pending_is_proposed_only_when_nothing_else_is_left(kind, device, objective):
    """The first half of the pool is being measured, and holds what is predicted best."""
    z, pool = _latents(15, 0), _latents(20, 1)
    pool = pool[pool[:, 0].argsort(descending=True)]
    context = _context(pool, z, pending=pool[:10].clone(), device=device)
    fitted = _fit(objective, 15, device)
    for seed in range(3):
        chosen = _build(kind).propose(fitted, objective, context, q=4, seed=seed)
        _check(chosen, 20, 4)
        assert int(chosen.min()) >= 10
    everything = _build(kind).propose(fitted, objective, context, q=20, seed=0)
    _check(everything, 20, 20)
    assert set(everything[:10].tolist()) == set(range(10, 20))


@one_or_two_goals
def test_repeated_rows_and_what_is_measured_are_no_obstacle(kind, device, objective):
    z, pool = _latents(15, 0), _latents(20, 1)
    pool[10:] = pool[:10]
    pool[0] = z[0]
    context = _context(pool, z, pending=torch.cat([_latents(2, 3), z[:2]]), device=device)
    chosen = _build(kind).propose(_fit(objective, 15, device), objective, context, q=4, seed=0)
    _check(chosen, 20, 4)


def test_inputs_are_left_alone(kind):
    z, pool, pending = _latents(10, 0), _latents(20, 1), _latents(3, 2)
    copies = z.clone(), pool.clone(), pending.clone()
    _build(kind).propose(_fit(ONE, 10), ONE, _context(pool, z, pending), q=4, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(copies, (z, pool, pending), strict=True))


def test_where_it_has_a_gradient_that_leads_to_what_is_worth_more(kind, device):
    acquisition = _build(kind)
    if not isinstance(acquisition, DifferentiableAcquisition):
        pytest.skip(f"{kind} has none")
    z, start = _latents(15, 0), _latents(6, 1)
    for objective, outcome in product((ONE, TWO, TARGET), ("measured", "constant", "failed")):
        fitted, context = _fit(objective, 15, device, outcome), _context(start[:0], z, start[4:], device=device)
        gain = acquisition.gain(fitted, objective, context, q=4, seed=3)
        way = gradient_ascent(gain, start[:4].to(device), D, 4 * STEPS).reshape(STEPS, 4, D)
        with torch.no_grad():
            before, later = gain(start[:4].to(device)), torch.stack([gain(place) for place in way])
        assert before.shape == (4,)
        assert later.isfinite().all(), (objective, outcome)
        assert later.logsumexp(1).max() > before.logsumexp(0), (objective, outcome)
