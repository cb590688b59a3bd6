"""A Gaussian process on descriptors of the crystal; the generator only proposes. After H. B. Moss, S. W. Ober & T.
Diethe, "Return of the latent space COWBOYS: re-thinking the use of VAEs for Bayesian optimisation of structured
spaces", ICML 2025.

The latent prior is conditioned on the event that the decoded crystal is feasible and better than the best so far under
the process: preconditioned Crank-Nicolson chains, begun at prior samples and at the measured latents, targeting p(z)
P(improvement | x(z)). The process has the default kernel of BoTorch on descriptors of composition and volume, where
the paper has a Tanimoto kernel on fingerprints of molecules. The batch is taken from the last states of different
chains, the likeliest to improve first.

Where the task has a list and its end is to find all that is feasible, the process ranks the list itself, the most
probably feasible first: a plain Gaussian process on descriptors, without any generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from pydantic import Field
from pymatgen.core import Structure
from torch import Tensor
from torch.quasirandom import SobolEngine

from benchmarks.search.numerics import quiet_numerics
from benchmarks.search.outcome_models import Outcomes, fit_outcomes
from benchmarks.search.protocols import ArmContext, History, Proposal, Task
from campaigns.spec import Strict
from generative.representations.wyckoff import fingerprint
from optimizer.descriptors import descriptors

DRAWS = 64


class Params(Strict):
    """Of the chains; not tuned."""

    listed: bool = Field(True, description="Rank the task's list, where it has one, in place of chains.")
    chains: int = Field(64, ge=1, description="Chains run side by side.")
    steps: int = Field(16, ge=1, description="Steps of each; every step decodes a crystal.")
    step: float = Field(0.3, gt=0, le=1, description="Share of fresh noise in a step.")
    warm: float = Field(0.5, ge=0, le=1, description="Share of chains that begin at measured latents, the best first.")


@dataclass(frozen=True)
class DescriptorArm:
    params: Params

    def propose(self, task: Task, history: History, n: int, seed: int) -> Sequence[Proposal]:
        crystals = [row.answer.crystal for row in history.located]
        with quiet_numerics():
            x = descriptors(crystals, task.references)
            fitted = fit_outcomes(x, history.values, task.objective, seed=seed)
            if self.params.listed and task.listed:
                return self._of_list(task, fitted, history, n, seed)
            visited = self._chains(task, fitted, history, seed)
        seen = {fingerprint(crystal) for crystal in crystals}
        found: list[Proposal] = []
        for crystal in visited:
            mark = fingerprint(crystal)
            if mark not in seen:
                seen.add(mark)
                found.append(Proposal(crystal=crystal, label="chain"))
        return found[: 4 * n]

    def _of_list(self, task: Task, fitted: Outcomes, history: History, n: int, seed: int) -> Sequence[Proposal]:
        left = history.left(task)
        draws = _normal_draws(len(task.objective.outcomes), seed)
        chances = replace(fitted, best=None).log_improvement(descriptors(left, task.references), draws)
        order = chances.argsort(descending=True, stable=True)[:n].tolist()
        return [Proposal(crystal=left[i], label="list") for i in order]

    def _chains(self, task: Task, fitted: Outcomes, history: History, seed: int) -> list[Structure]:
        """Crystals of the last states, then of earlier ones, each group by its probability of improvement."""
        how, d = self.params, task.generator.latent_dim
        noise = torch.Generator().manual_seed(seed)
        draws = _normal_draws(len(task.objective.outcomes), seed)
        z = torch.randn(how.chains, d, generator=noise, dtype=torch.float64)
        order = history.merits(task.objective).argsort(descending=True)[: int(how.warm * how.chains)]
        z[: len(order)] = history.z[order]
        level, crystals = _scored(task, fitted, z, draws, seed)
        passed: list[tuple[float, Structure]] = []
        for _ in range(how.steps):
            fresh = torch.randn(z.shape, generator=noise, dtype=z.dtype)
            moved = (1 - how.step**2) ** 0.5 * z + how.step * fresh
            new_level, new_crystals = _scored(task, fitted, moved, draws, seed)
            accept = torch.rand(len(z), generator=noise, dtype=z.dtype).log() < new_level - level
            for i in torch.nonzero(accept)[:, 0].tolist():
                if (left := crystals[i]) is not None:
                    passed.append((float(level[i]), left))
                z[i], level[i], crystals[i] = moved[i], new_level[i], new_crystals[i]
        last = [(float(v), x) for v, x in zip(level, crystals, strict=True) if x is not None]
        return [x for group in (last, passed) for _, x in sorted(group, key=lambda each: -each[0])]


def _scored(task: Task, fitted: Outcomes, z: Tensor, draws: Tensor, seed: int) -> tuple[Tensor, list[Structure | None]]:
    """Log probability of improvement of each decoded crystal, `[n]`, -inf where there is none."""
    decoded = task.generator.decode(z, within=task.spec.space, seed=seed)
    crystals = [x if isinstance(x, Structure) else None for x in decoded]
    there = [i for i, x in enumerate(crystals) if x is not None]
    level = torch.full((len(z),), -torch.inf, dtype=z.dtype)
    if there:
        x = descriptors([c for c in crystals if c is not None], task.references)
        level[there] = fitted.log_improvement(x, draws)
    return level, crystals


def _normal_draws(m: int, seed: int) -> Tensor:
    """Quasi-random standard normal numbers, `[DRAWS, m]`."""
    uniform = SobolEngine(m, scramble=True, seed=seed % 2**31).draw(DRAWS, dtype=torch.float64)
    return torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6))


def build(params: Params, context: ArmContext) -> DescriptorArm:
    return DescriptorArm(params)
