"""What `log_nei` chooses, and that the whole search half finds more than random choice does."""

from __future__ import annotations

import pytest
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement, qLogProbabilityOfFeasibility
from botorch.acquisition.multi_objective import logei
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.objective import GenericMCObjective
from botorch.sampling import SobolQMCNormalSampler
from torch import Tensor

from campaigns.goals import Constraint, Objective
from campaigns.search_space import SearchSpace
from optimizer.acquisition import log_nei
from optimizer.acquisition import random as random_choice
from optimizer.numerical_notices import expected_notices
from optimizer.objective import CampaignObjective
from optimizer.pareto import reference_point
from optimizer.protocols import Acquisition, ProposalContext
from optimizer.trust_region import Observation, latent_pool, trust_region
from surrogates.models import exact_gp
from surrogates.protocols import FittedSurrogate, SurrogateContext

CPU = torch.device("cpu")
GOAL = ("y_gpa", Objective(goal="maximize"))
MAXIMIZE = CampaignObjective((GOAL,), (("c_ev", Constraint(max=0.5)),))


def _fit(objective: CampaignObjective, z: Tensor, values) -> FittedSurrogate:
    y, observed = objective.table(values)
    return exact_gp.build(exact_gp.Params(kernel="rbf"), SurrogateContext(CPU, objective.outcomes)).fit(
        z, y, observed=observed
    )


def _context(pool: Tensor, observed_z: Tensor, pending: Tensor | None = None) -> ProposalContext:
    return ProposalContext(pool, observed_z, observed_z[:0] if pending is None else pending, CPU, SearchSpace())


def _line(*xs: float) -> Tensor:
    return torch.tensor([[x, 0.0] for x in xs], dtype=torch.float64)


def _choose(objective, fitted, context, q=1, **params) -> list[int]:
    return log_nei.build(log_nei.Params(**params)).propose(fitted, objective, context, q=q, seed=0).tolist()


@pytest.fixture
def criterion(caplog):
    """What the last proposal was judged by, as the log says."""
    caplog.set_level("INFO", logger="optimizer.acquisition.log_nei")
    return lambda: caplog.messages[-1].removeprefix("acquisition function: ")


GRID = _line(*[i / 4 for i in range(-8, 9)])


def _measured(y, c=lambda x: 0.0) -> list[dict[str, float]]:
    return [{"y_gpa": y(x), "c_ev": c(x)} for x in GRID[:, 0].tolist()]


def test_prefers_what_is_predicted_better(criterion):
    fitted = _fit(MAXIMIZE, GRID, _measured(lambda x: 100 + 10 * x))
    context = _context(_line(-1.9, 0.1, 2.2), GRID)
    assert _choose(MAXIMIZE, fitted, context) == [2]
    assert criterion() == "log_nei"


def test_constraints_outweigh_a_better_objective():
    z = GRID[(GRID[:, 0] <= 0) | (GRID[:, 0] > 0.8)]  # the best feasible stretch, up to 0.5, is unseen
    values = [{"y_gpa": 100 + 10 * x, "c_ev": x} for x in z[:, 0].tolist()]
    assert _choose(MAXIMIZE, _fit(MAXIMIZE, z, values), _context(_line(-1.9, 0.4, 2.2), z)) == [1]


def test_failures_repel():
    z = GRID[(GRID[:, 0] <= 0) | (GRID[:, 0] > 0.8)]
    values = [None if x > 0.5 else {"y_gpa": 100 + 10 * x, "c_ev": 0.0} for x in z[:, 0].tolist()]
    assert _choose(MAXIMIZE, _fit(MAXIMIZE, z, values), _context(_line(-1.9, 0.25, 2.2), z)) == [1]


def test_a_target_is_neither_more_nor_less():
    target = CampaignObjective((("y_gpa", Objective(goal="target", target=100.0)),))
    fitted = _fit(target, GRID, [{"y_gpa": 60 + 30 * (x + 0.07)} for x in GRID[:, 0].tolist()])
    best = (100 - 60) / 30 - 0.07
    assert _choose(target, fitted, _context(_line(best - 1, best + 1, best), GRID)) == [2]


def test_while_nothing_is_feasible_it_looks_for_feasibility(criterion):
    fitted = _fit(MAXIMIZE, GRID, _measured(lambda x: 100 - 30 * x, lambda x: 3.5 - x))  # feasible above 3
    context = _context(_line(-2.5, 0.0, 2.6), GRID)
    assert _choose(MAXIMIZE, fitted, context) == [2]
    assert criterion() == "log_feasibility"


def test_what_is_pending_is_not_proposed_again():
    fitted = _fit(MAXIMIZE, GRID, _measured(lambda x: 100 + 20 * abs(x)))
    pool = _line(2.2, 0.0, -2.2)
    for pending, other in ((2.2, 2), (-2.2, 0)):
        assert _choose(MAXIMIZE, fitted, _context(pool, GRID, pending=_line(pending))) == [other]


def test_a_batch_spreads_over_both_peaks():
    fitted = _fit(MAXIMIZE, GRID[::2], _measured(lambda x: 100 - 20 * abs(abs(x) - 1.2))[::2])
    pool = _line(-1.21, -1.2, -1.19, 1.19, 1.2, 1.21)
    chosen = _choose(MAXIMIZE, fitted, _context(pool, GRID[::2]), q=2)
    assert {index < 3 for index in chosen} == {True, False}


def test_two_goals_ask_for_what_extends_the_front(criterion):
    both = CampaignObjective((("a_gpa", Objective(goal="maximize")), ("b_ev", Objective(goal="minimize"))))
    values = [{"a_gpa": 100 + 10 * x, "b_ev": x + (x - 0.5) ** 2} for x in GRID[:, 0].tolist()]
    fitted = _fit(both, GRID[:9], values[:9])  # measured up to 0
    context = _context(_line(-1.0, -1.1, 1.5), GRID[:9])
    assert _choose(both, fitted, context) == [2]
    assert criterion() == "log_nehvi"


@pytest.mark.parametrize("params", [{"chunk": 7}, {"shortlist": 20}])
def test_chunks_and_shortlist_do_not_change_the_batch(params):
    z = torch.randn(20, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pool = torch.randn(60, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    fitted = _fit(MAXIMIZE, z, [{"y_gpa": float(row[0]), "c_ev": float(row[1])} for row in z])
    context = _context(pool, z)
    full = _choose(MAXIMIZE, fitted, context, q=4, shortlist=60, chunk=60)
    assert _choose(MAXIMIZE, fitted, context, q=4, **params) == full


def test_a_bound_that_all_values_lie_close_to_is_kept_like_any_other():
    """A lattice parameter of 1 and a bit, bound by 1: how small the bit is changes nothing."""
    draw = torch.Generator().manual_seed(2)
    z, pool, error = (torch.randn(n, 4, generator=draw, dtype=torch.float64) for n in (60, 200, 60))
    objective = CampaignObjective((GOAL,), (("c_ev", Constraint(max=1.0)),))
    bits = (z[:, 0] + z[:, 1] + 0.3 * error[:, 0]).tolist()

    def chosen(scale: float) -> list[int]:
        values = [
            {"y_gpa": float(row[0] + row[2] / 2), "c_ev": 1 + scale * bit} for row, bit in zip(z, bits, strict=True)
        ]
        return _choose(objective, _fit(objective, z, values), _context(pool, z), q=2)

    assert chosen(1e-3) == chosen(1.0)


@pytest.mark.parametrize("goals", [1, 2])
def test_rows_that_cannot_be_the_best_are_no_baseline(goals):
    z = torch.randn(40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pool = torch.randn(60, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    both = (("y_gpa", Objective(goal="maximize")), ("b_gpa", Objective(goal="maximize")))
    objective = CampaignObjective(both[:goals], MAXIMIZE.bounds)
    values = [{"y_gpa": float(row[0]), "c_ev": float(row[1]), "b_gpa": float(-row[0] + row[2])} for row in z]
    fitted = _fit(objective, z, [None if i % 9 == 0 else each for i, each in enumerate(values)])
    context = _context(pool, z)
    assert _choose(objective, fitted, context, q=4, baseline=20) == _choose(objective, fitted, context, q=4)


def _by_botorch(objective, fitted, pool, z, q) -> list[int]:
    """The batch that BoTorch's own functions choose, one place after another, each pending for the next."""
    bounds = objective.constraint_callables()
    shared = {"sampler": SobolQMCNormalSampler(torch.Size([1024]), seed=3), "constraints": bounds}
    means = fitted.model.posterior(z).mean
    feasible = objective.utility(means[torch.stack([bound(means) <= 0 for bound in bounds]).all(0)])
    chosen: list[int] = []
    while len(chosen) < q:
        pending = pool[chosen] if chosen else None
        if not len(feasible):
            function = qLogProbabilityOfFeasibility(fitted.model, X_pending=pending, **shared)
        elif len(objective.goals) == 1:
            goal = GenericMCObjective(lambda samples, X=None: objective.utility(samples)[..., 0] / feasible.std())
            function = qLogNoisyExpectedImprovement(fitted.model, z, objective=goal, X_pending=pending, **shared)
        else:
            goals = GenericMCMultiOutputObjective(lambda samples, X=None: objective.utility(samples) / feasible.std(0))
            corner = list(reference_point([tuple(row) for row in (feasible / feasible.std(0)).tolist()]))
            function = qLogNoisyExpectedHypervolumeImprovement(
                fitted.model, corner, z, objective=goals, X_pending=pending, **shared
            )
        scores = function(pool[:, None])
        scores[chosen] = -torch.inf
        chosen.append(int(scores.argmax()))
    return chosen


@pytest.mark.parametrize(("goals", "limit", "beyond"), [(1, 0.5, -9.0), (2, 0.5, -9.0), (1, -1.0, -0.7)])
def test_the_batch_is_the_one_that_botorch_chooses_step_by_step(goals, limit, beyond, monkeypatch):
    monkeypatch.setattr(logei, "_load_attempted", True)  # else it compiles C++ at the first use with two goals
    z = torch.randn(25, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pool = torch.randn(40, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    other = ("b_gpa", Objective(goal="minimize"))
    objective = CampaignObjective((GOAL, other)[:goals], (("c_ev", Constraint(max=limit)),))
    bound = z[:, 3] + z[:, 0] * z[:, 1] + torch.sin(3 * z[:, 2])
    y = {"y_gpa": z[:, 0] + z[:, 1] ** 2, "b_gpa": z[:, 0] - z[:, 2], "c_ev": bound}
    seen = torch.nonzero(bound > beyond)[:, 0].tolist()
    fitted = _fit(objective, z[seen], [{name: float(column[i]) for name, column in y.items()} for i in seen])
    ours = _choose(objective, fitted, _context(pool, z[seen]), q=4, num_samples=1024)
    with torch.no_grad(), expected_notices():
        theirs = _by_botorch(objective, fitted, pool, z[seen], 4)
    assert ours == theirs


D = 16
CENTRE = torch.linspace(1.5, -1.5, D, dtype=torch.float64)


def _black_box(z: Tensor) -> dict[str, float] | None:
    """A ridge towards CENTRE in 16 dimensions; too far along the first axis is infeasible, a corner fails."""
    if z[1] < -1.5:
        return None
    distance = ((z - CENTRE)[:6]).square().sum()
    return {"y_gpa": float(200 * torch.exp(-distance / 8)), "c_ev": float(z[0] - 1.0)}


MIX = {"trust_region": 0.6, "crossover": 0.2, "prior": 0.2}


def _campaign(acquisition: Acquisition, mix: dict[str, float], seed: int) -> float:
    """Best feasible value after a start of 12 and 5 rounds of 8."""
    start = torch.randn(12, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    history = [Observation(0, tuple(z.tolist()), _black_box(z)) for z in start]
    for number in range(1, 6):
        z = torch.tensor([item.z for item in history], dtype=torch.float64)
        values = [item.values for item in history]
        region = trust_region(history, MAXIMIZE, D)
        pool, _ = latent_pool(region, 150, D, seed * 100 + number, mix=mix)
        fitted = _fit(MAXIMIZE, z, values)
        chosen = acquisition.propose(fitted, MAXIMIZE, _context(pool, z), q=8, seed=seed * 100 + number)
        history += [Observation(number, tuple(pool[i].tolist()), _black_box(pool[i])) for i in chosen]
    return MAXIMIZE.progress([item.values for item in history]) or 0.0


@pytest.mark.parametrize("seed", [0, 1])
def test_the_search_half_beats_random_choice_from_the_same_start(seed):
    ours = _campaign(log_nei.build(log_nei.Params(num_samples=64)), MIX, seed)
    theirs = _campaign(random_choice.build(random_choice.Params()), {"prior": 1.0}, seed)
    assert ours > 1.2 * theirs
