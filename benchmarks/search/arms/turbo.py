"""TuRBO-1 on the latent space (D. Eriksson, M. Pearce, J. Gardner, R. Turner & M. Poloczek, NeurIPS 2019), with the
settings of BoTorch's tutorial, and under constraints as in SCBO (D. Eriksson & M. Poloczek, AISTATS 2021).

The box is [-3, 3] in every dimension: the latents are whitened. Thompson sampling of the batch, each from one joint
draw at `candidates` perturbed Sobol points of the trust region, 20 dimensions moved on average. A region that shrinks
below its least length is given up and another begins at fresh points of the box; where the box as a whole never
decodes to anything of the kind, prior samples stand in for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.quasirandom import SobolEngine

from benchmarks.search.numerics import quiet_numerics
from benchmarks.search.outcome_models import Outcomes, fit_outcomes
from benchmarks.search.protocols import ArmContext, History, Proposal, Row, Task
from campaigns.spec import Strict
from optimizer.objective import CampaignObjective

EDGE = 3.0
FRESH = "restart"


class Params(Strict):
    """Of the tutorial; the failure tolerance is max(4 / batch, d / batch) there."""

    candidates: int = Field(2000, ge=16, description="Points that each draw is taken at; the tutorial has 5,000.")
    length: float = Field(0.8, gt=0, description="First edge of the region, in edges of the box.")
    longest: float = Field(1.6, gt=0, description="Longest edge.")
    shortest: float = Field(0.5**7, gt=0, description="Edge below which it is given up.")
    successes: int = Field(10, ge=1, description="Batches in a row with a gain before the edge doubles.")
    failures: int | None = Field(None, ge=1, description="Batches in a row without one before it halves.")
    fresh: int = Field(16, ge=1, description="Points that a new region begins with.")


@dataclass(frozen=True)
class Region:
    """Where the search stands: rows of the present region, its edge, the counters."""

    rows: tuple[Row, ...]
    length: float
    succeeded: int = 0
    failed: int = 0
    fresh: int = 0  # rows of fresh points still to come before the region is searched


def region_of(history: History, objective: CampaignObjective, params: Params, d: int, batch: int) -> Region:
    """Replayed from the history, round by round."""
    tolerance = params.failures or math.ceil(max(4.0 / batch, d / batch))
    region = Region(tuple(row for row in history.of_round(0) if row.answer.z is not None), params.length)
    for number in range(1, history.rounds):
        rows = tuple(row for row in history.of_round(number) if row.answer.z is not None)
        grown = replace(region, rows=(*region.rows, *rows))
        if region.fresh > 0:
            region = replace(grown, fresh=region.fresh - len(history.of_round(number)))
            continue
        gain = _gained(region.rows, rows, objective)
        succeeded, failed = (region.succeeded + 1, 0) if gain else (0, region.failed + 1)
        length = region.length
        if succeeded == params.successes:
            length, succeeded = min(2 * length, params.longest), 0
        elif failed == tolerance:
            length, failed = length / 2, 0
        region = replace(grown, length=length, succeeded=succeeded, failed=failed)
        if length < params.shortest:
            region = Region((), params.length, fresh=params.fresh)
    return region


def _gained(before: Sequence[Row], new: Sequence[Row], objective: CampaignObjective) -> bool:
    """Some new row is better than every one before, by a thousandth where both are feasible and there is one goal."""
    best = None
    for row in before:
        if best is None or objective.better(row.answer.values, best):
            best = row.answer.values
    for row in new:
        values = row.answer.values
        if not objective.better(values, best):
            continue
        if not objective.feasible(best) or len(objective.goals) > 1:
            return True
        old, now = objective.score(best or {})[0], objective.score(values or {})[0]
        if now > old + 1e-3 * abs(old):
            return True
    return False


@dataclass(frozen=True)
class TurboArm:
    params: Params

    def propose(self, task: Task, history: History, n: int, seed: int) -> Sequence[Proposal]:
        d = task.generator.latent_dim
        region = region_of(history, task.objective, self.params, d, n)
        if region.fresh > 0 or not region.rows:
            noise = torch.Generator().manual_seed(seed)
            z = torch.randn(8 * n, d, generator=noise, dtype=torch.float64)
            return [Proposal(z=row, label=FRESH) for row in z]
        local = History(region.rows)
        x = (local.z.clamp(-EDGE, EDGE) + EDGE) / (2 * EDGE)
        with quiet_numerics():
            fitted = fit_outcomes(x, local.values, task.objective, seed=seed, kind="tutorial")
            centre = x[int(local.merits(task.objective).argmax())]
            offered = perturbed(fitted, centre, region.length, self.params.candidates, seed)
            chosen = thompson(fitted, offered, 4 * n, seed)
        return [Proposal(z=row * 2 * EDGE - EDGE, label="region") for row in offered[chosen]]


def perturbed(fitted: Outcomes, centre: Tensor, length: float, n: int, seed: int) -> Tensor:
    """Sobol points of the region around `centre [d]`, its edges in proportion to the length scales, some coordinates
    moved: `[n, d]`."""
    d = len(centre)
    weights = torch.ones(d, dtype=centre.dtype)
    for model in fitted.models:
        scales = getattr(getattr(model.covar_module, "base_kernel", None), "lengthscale", None)
        if scales is not None and scales.shape[-1] == d:  # of several outcomes, the first that was fitted
            weights = scales.detach().flatten() / scales.mean()
            weights = weights / weights.log().mean().exp()
            break
    low = (centre - weights * length / 2).clamp(0, 1)
    high = (centre + weights * length / 2).clamp(0, 1)
    sobol = SobolEngine(d, scramble=True, seed=seed % 2**31)
    points = low + (high - low) * sobol.draw(n, dtype=centre.dtype)
    noise = torch.Generator().manual_seed(seed)
    moved = torch.rand(n, d, generator=noise) <= min(20.0 / d, 1.0)
    moved[torch.arange(n), torch.randint(d, (n,), generator=noise)] = True
    return torch.where(moved, points, centre)


def thompson(fitted: Outcomes, x: Tensor, q: int, seed: int) -> list[int]:
    """q different indices into `x [n, p]`: of each joint draw the best feasible one, or the least violating."""
    noise = torch.Generator().manual_seed(seed)
    means, roots = [], []
    with torch.no_grad():
        for model in fitted.models:
            posterior: Any = model.posterior(x)
            covariance = posterior.covariance_matrix
            jitter = 1e-6 * float(covariance.diagonal().mean()) + 1e-12
            means.append(posterior.mean[:, 0])
            roots.append(_root(covariance, jitter))
        chosen: list[int] = []
        for _ in range(q):
            draws = [
                m + r @ torch.randn(len(x), generator=noise, dtype=x.dtype) for m, r in zip(means, roots, strict=True)
            ]
            samples = torch.stack(draws, dim=-1)
            violation, utility = fitted.violation(samples), fitted.utility(samples)
            violation[chosen], utility[chosen] = torch.inf, -torch.inf
            feasible = violation <= 0
            best = torch.where(feasible, utility, -torch.inf).argmax() if feasible.any() else violation.argmin()
            chosen.append(int(best))
    return chosen


def _root(covariance: Tensor, jitter: float) -> Tensor:
    """Lower Cholesky factor, more jitter until there is one."""
    identity = torch.eye(len(covariance), dtype=covariance.dtype)
    while True:
        root, failed = torch.linalg.cholesky_ex(covariance + jitter * identity)
        if not failed:
            return root
        jitter *= 10


def build(params: Params, context: ArmContext) -> TurboArm:
    return TurboArm(params)
