"""Gradient ascent on z through a predictor, as in T. Xie, X. Fu, O.-E. Ganea, R. Barzilay & T. Jaakkola, "Crystal
diffusion variational autoencoder for periodic material generation", ICLR 2022.

The bundled property head predicts formation energies only, so the predictor is an ensemble of small networks on z,
fitted to everything measured. Ascent begins at the best measured latents and at prior samples (CDVAE: at encoded test
crystals) and follows the mean utility less the violation of the constraints. End points are ranked by what is
predicted there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor, nn

from benchmarks.search.protocols import ArmContext, History, Proposal, Task
from campaigns.spec import Strict
from optimizer.objective import CampaignObjective

SPARE = 4
PENALTY = 10.0  # of a relative overshoot, in spreads of the utility


class Params(Strict):
    """Of the networks and of the ascent."""

    networks: int = Field(5, ge=1, description="In the ensemble.")
    width: int = Field(64, ge=1, description="Of their two hidden layers.")
    epochs: int = Field(200, ge=1, description="Passes over the data.")
    starts: int = Field(64, ge=1, description="Where ascents begin: half at the best measured, half at prior samples.")
    steps: int = Field(200, ge=1, description="Of each ascent.")
    rate: float = Field(0.02, gt=0, description="Learning rate of the ascent.")


@dataclass(frozen=True)
class AscentArm:
    params: Params

    def propose(self, task: Task, history: History, n: int, seed: int) -> Sequence[Proposal]:
        how, d = self.params, task.generator.latent_dim
        noise = torch.Generator().manual_seed(seed)
        starts = torch.randn(how.starts, d, generator=noise, dtype=torch.float64)
        order = history.merits(task.objective).argsort(descending=True)[: how.starts // 2]
        starts[: len(order)] = history.z[order]
        y, observed = task.objective.table(history.values)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            networks = _fitted(history.z, y, observed, how)
        goal = _goal(networks, y, observed, task.objective)
        z = starts.clone().requires_grad_(True)
        optimiser = torch.optim.Adam([z], lr=how.rate)
        for _ in range(how.steps):
            optimiser.zero_grad()
            (-goal(z).sum()).backward()
            optimiser.step()
        with torch.no_grad():
            order = goal(z).argsort(descending=True)
        return [Proposal(z=z.detach()[i], label="ascent") for i in order[: SPARE * n]]


class _Ensemble(nn.Module):
    """z `[n, d]` -> standardised outcomes `[e, n, m]`, every network in one batched product."""

    def __init__(self, e: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(e, a, b, dtype=torch.float64) * (2 / a) ** 0.5) for a, b in pairwise(sizes)
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(e, 1, b, dtype=torch.float64)) for b in sizes[1:])

    def forward(self, z: Tensor) -> Tensor:
        x = z.expand(len(self.weights[0]), *z.shape)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if layer < len(self.weights) - 1:
                x = nn.functional.silu(x)
        return x


@dataclass(frozen=True)
class _Fitted:
    networks: _Ensemble
    mean: Tensor  # [m]
    spread: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        return self.networks(z) * self.spread + self.mean


def _fitted(z: Tensor, y: Tensor, observed: Tensor, how: Params) -> _Fitted:
    """Each network sees rows drawn with replacement; unobserved entries do not count."""
    shown = observed.double()
    count = shown.sum(0).clamp_min(1)
    mean = (y * shown).sum(0) / count
    spread = (((y - mean).square() * shown).sum(0) / count).sqrt()
    spread = torch.where(spread > 1e-9, spread, torch.ones_like(spread))
    target = (y - mean) / spread
    drawn = torch.randint(len(z), (how.networks, len(z)))
    times = torch.stack([torch.bincount(each, minlength=len(z)) for each in drawn])
    weight = times.double()[:, :, None] * shown
    networks = _Ensemble(how.networks, (z.shape[1], how.width, how.width, y.shape[1]))
    optimiser = torch.optim.AdamW(networks.parameters(), lr=3e-3, weight_decay=0.1)
    for _ in range(how.epochs):
        optimiser.zero_grad()
        loss = (weight * (networks(z) - target).square()).sum() / weight.sum()
        loss.backward()
        optimiser.step()
    return _Fitted(networks.requires_grad_(False), mean, spread)


def _goal(fitted: _Fitted, y: Tensor, observed: Tensor, objective: CampaignObjective) -> Callable[[Tensor], Tensor]:
    """z `[n, d]` -> `[n]`: utilities in their spreads, summed, less what breaks a bound, of the ensemble's mean."""
    known = objective.utility(y)[observed.all(1)]
    spread = known.std(0) if len(known) > 1 else torch.ones(len(objective.goals), dtype=y.dtype)
    spread = torch.where(spread > 1e-9, spread, torch.ones_like(spread))

    def goal(z: Tensor) -> Tensor:
        samples = fitted(z).mean(0)
        broken = torch.stack([each(samples).clamp_min(0) for each in objective.constraint_callables()]).sum(0)
        return (objective.utility(samples) / spread).sum(-1) - PENALTY * broken

    return goal


def build(params: Params, context: ArmContext) -> AscentArm:
    return AscentArm(params)
