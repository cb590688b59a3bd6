"""How long a batch takes to propose, refitting included, and what it is worth beside a full optimisation.

    python -m benchmarks.proposing --observations 100,1000,5000 --repeats 3

A smooth function of 32 latents with noise stands for a property; decoding is left out, so that a batch of 8 from
a pool of 1,024 latents around the best, the waves of ascent among them, can be set beside BoTorch's `optimize_acqf`
over the box that holds them, and beside Ax and BayBE where they are installed. Hyperparameters are those of the
observations that a campaign had a round earlier (refitted when they have grown by a quarter, as in a campaign): `cold`
refits everything, `warm` goes on from eight observations before. `value` is the expected improvement (qLogNEI,
exponentiated) of the batch under our own surrogate as a share of that of the batch that `optimize_acqf` finds from 8
restarts.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from torch import Tensor

from campaigns.goals import Objective
from campaigns.search_space import SearchSpace
from optimizer.acquisition import log_nei
from optimizer.ascent import MIX, PROMISING, STEP, blind_waves, wave_sizes
from optimizer.gradient_ascent import gradient_ascent
from optimizer.objective import CampaignObjective
from optimizer.portfolio import ASCENT, FIRST_SHARES
from optimizer.protocols import ProposalContext
from optimizer.trust_region import Observation, TrustRegion, latent_pool, trust_region
from surrogates.models import exact_gp
from surrogates.protocols import FitHints, SurrogateContext

DIMENSIONS, BATCH, POOL = 32, 8, 1024
OBJECTIVE = CampaignObjective((("value", Objective(goal="maximize")),))
CPU = torch.device("cpu")


def observed(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """n latents, half of them gathered where the function is high, as in a campaign; outcomes `[n, 2]` with success."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, DIMENSIONS, generator=generator, dtype=torch.float64)
    z[n // 2 :] = 0.6 * z[n // 2 :] + 0.5
    y = -(z[:, :8] - 0.8).square().sum(1) + 2 * torch.sin(2 * z[:, 8]) + z[:, 9:].mean(1)
    y = y + 0.1 * torch.randn(n, generator=generator, dtype=torch.float64)
    return z, torch.stack([y, torch.ones_like(y)], dim=1)


def propose(z: Tensor, y: Tensor, seed: int, before: Any) -> tuple[float, Any, Tensor, ProposalContext]:
    """Seconds, the fit, the batch `[8, 32]`, and what it was chosen from."""
    began = time.perf_counter()
    values = [{"value": float(v)} for v in y[:, 0]]
    ranking = OBJECTIVE.ranking(values)[:8]
    surrogate = exact_gp.build(exact_gp.Params(), SurrogateContext(CPU, OBJECTIVE.outcomes))
    hints = FitHints(focus=ranking, before=before)
    fitted = surrogate.fit(z, y, observed=torch.ones_like(y, dtype=torch.bool), hints=hints)
    history = [Observation(0, tuple(z[i].tolist()), values[i]) for i in ranking]
    region = trust_region(history, OBJECTIVE, DIMENSIONS)
    shares = {"trust_region": 0.6, "crossover": 0.25, "prior": 0.15}
    first = round(POOL * (1 - FIRST_SHARES[ASCENT]))
    pool, _ = latent_pool(region, first, DIMENSIONS, seed, mix=shares)
    context = ProposalContext(pool, z, torch.empty(0, DIMENSIONS, dtype=torch.float64), CPU, SearchSpace())
    acquisition = log_nei.build(log_nei.Params())
    mix = {arm: share for arm, share in MIX.items() if arm != "substitution"}  # there are no crystals here
    sizes = wave_sizes(POOL - first, len(z))
    for wave, size in enumerate(sizes):
        promising = pool[acquisition.propose(fitted, OBJECTIVE, context, q=PROMISING, seed=seed)]
        if wave >= blind_waves(len(sizes)):
            gain = acquisition.gain(fitted, OBJECTIVE, context, q=PROMISING, seed=seed + wave)
            more = gradient_ascent(gain, promising, DIMENSIONS, size)
        else:
            more, _ = latent_pool(TrustRegion(promising, STEP), size, DIMENSIONS, seed + wave, mix=mix)
        pool = torch.cat([pool, more])
        context = replace(context, pool=pool)
    chosen = acquisition.propose(fitted, OBJECTIVE, context, q=BATCH, seed=seed)
    return time.perf_counter() - began, fitted, pool[chosen], context


def _utility(samples: Tensor, X: Tensor | None = None) -> Tensor:
    return OBJECTIVE.utility(samples)[..., 0]


def referee(fitted: Any, context: ProposalContext, seed: int) -> Any:
    """BoTorch's qLogNEI of a batch; sequential optimisation leaves it with pending points."""
    from botorch.acquisition.logei import qLogNoisyExpectedImprovement
    from botorch.acquisition.objective import GenericMCObjective
    from botorch.sampling import SobolQMCNormalSampler

    return qLogNoisyExpectedImprovement(
        fitted.model,
        context.observed_z,
        sampler=SobolQMCNormalSampler(torch.Size([256]), seed=seed),
        objective=GenericMCObjective(_utility),
        constraints=OBJECTIVE.constraint_callables(),
        prune_baseline=True,
    )


def optimised(fitted: Any, context: ProposalContext, seed: int) -> tuple[float, Callable[[Tensor], float]]:
    """Value of the batch that sequential `optimize_acqf` finds, and the function that values a batch."""
    from botorch.optim import optimize_acqf

    function = referee(fitted, context, seed)
    bounds = torch.stack([context.observed_z.amin(0), context.observed_z.amax(0)])
    torch.manual_seed(seed)
    best, _ = optimize_acqf(function, bounds, q=BATCH, num_restarts=8, raw_samples=256, sequential=True)
    function = referee(fitted, context, seed)

    def value(batch: Tensor) -> float:
        with torch.no_grad():
            return float(function(batch[None]).exp())

    return value(best), value


def by_ax(z: Tensor, y: Tensor, seed: int) -> float:
    """Seconds that Ax takes for the same batch, fitting included."""
    from ax.service.ax_client import AxClient
    from ax.service.utils.instantiation import ObjectiveProperties

    client = AxClient(random_seed=seed, verbose_logging=False)
    low, high = float(z.min()), float(z.max())
    parameters = [{"name": f"z{i}", "type": "range", "bounds": [low, high]} for i in range(DIMENSIONS)]
    client.create_experiment(parameters=parameters, objectives={"value": ObjectiveProperties(minimize=False)})
    for row, outcome in zip(z.tolist(), y[:, 0].tolist(), strict=True):
        _, index = client.attach_trial({f"z{i}": v for i, v in enumerate(row)})
        client.complete_trial(index, raw_data=outcome)
    began = time.perf_counter()
    client.get_next_trials(max_trials=BATCH)
    return time.perf_counter() - began


def by_baybe(z: Tensor, y: Tensor, seed: int) -> float:
    """Seconds that BayBE takes for the same batch, fitting included."""
    import pandas as pd
    from baybe import Campaign
    from baybe.parameters import NumericalContinuousParameter
    from baybe.searchspace import SearchSpace as Space
    from baybe.targets import NumericalTarget

    torch.manual_seed(seed)
    low, high = float(z.min()), float(z.max())
    names = [f"z{i}" for i in range(DIMENSIONS)]
    space = Space.from_product([NumericalContinuousParameter(name, (low, high)) for name in names])
    campaign = Campaign(space, NumericalTarget("value").to_objective())
    campaign.add_measurements(pd.DataFrame(z.numpy(), columns=names).assign(value=y[:, 0].numpy()))
    began = time.perf_counter()
    campaign.recommend(BATCH)
    return time.perf_counter() - began


RIVALS = {"ax": by_ax, "baybe": by_baybe}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proposing", description=__doc__)
    parser.add_argument("--observations", default="100,1000,5000")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--value-at", type=int, default=100, help="compare with optimize_acqf at this many")
    parser.add_argument("--rivals-at", type=int, default=100, help="time Ax and BayBE at this many, if installed")
    given = parser.parse_args()
    print("command: python -m benchmarks.proposing", *sys.argv[1:], f"(torch threads: {torch.get_num_threads()})")
    for n in map(int, given.observations.split(",")):
        cold, warm, shares, full = [], [], [], []
        for seed in range(given.repeats):
            z, y = observed(n, seed)
            _, earlier, _, _ = propose(z[:-BATCH], y[:-BATCH], seed, {})
            seconds, *_ = propose(z, y, seed, {})
            cold.append(seconds)
            seconds, fitted, batch, context = propose(z, y, seed, earlier.report.outcomes)
            warm.append(seconds)
            if n == given.value_at:
                began = time.perf_counter()
                best, value = optimised(fitted, context, seed)
                full.append(time.perf_counter() - began)
                shares.append(value(batch) / best)
        print(f"{n} observations: {median(warm):.1f} s warm, {median(cold):.1f} s cold", flush=True)
        if shares:
            print(f"  value {median(shares):.0%} of optimize_acqf's, which took {median(full):.1f} s", flush=True)
    z, y = observed(given.rivals_at, 0)
    for name, rival in RIVALS.items():
        if importlib.util.find_spec(name) is None:
            print(f"{name}: not installed")
            continue
        print(f"{name} at {given.rivals_at} observations: {rival(z, y, 0):.1f} s", flush=True)


if __name__ == "__main__":
    main()
