"""The tree-structured Parzen estimator on the latent space (J. Bergstra, R. Bardenet, Y. Bengio & B. Kegl, NeurIPS
2011; S. Watanabe, arXiv:2304.11127), by optuna.

Each dimension of z is a uniform number in [-3, 3]. Trials are told where they were measured: at the latent of the
crystal that was charged, with its place in the campaign's ranking as value. `constant_liar` keeps a batch apart.
Multivariate, without groups: optuna's own advice for numbers that depend on each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import Field

from benchmarks.search.protocols import ArmContext, History, Proposal, Task
from campaigns.spec import Strict

EDGE = 3.0
SPARE = 2


class Params(Strict):
    """Of optuna's TPESampler."""

    multivariate: bool = Field(True, description="One estimator of all dimensions together.")
    candidates: int = Field(24, ge=1, description="Points compared for each proposal.")


@dataclass(frozen=True)
class TpeArm:
    params: Params

    def propose(self, task: Task, history: History, n: int, seed: int) -> Sequence[Proposal]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        d = task.generator.latent_dim
        names = [f"z{i:03d}" for i in range(d)]
        ranges: dict[str, optuna.distributions.BaseDistribution] = {
            name: optuna.distributions.FloatDistribution(-EDGE, EDGE) for name in names
        }
        sampler = optuna.samplers.TPESampler(
            seed=seed % 2**32,
            multivariate=self.params.multivariate,
            constant_liar=True,
            n_startup_trials=1,
            n_ei_candidates=self.params.candidates,
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        merits = history.merits(task.objective).tolist()
        for z, merit in zip(history.z.clamp(-EDGE, EDGE).tolist(), merits, strict=True):
            study.add_trial(
                optuna.trial.create_trial(params=dict(zip(names, z, strict=True)), distributions=ranges, value=merit)
            )
        trials = [study.ask(ranges) for _ in range(SPARE * n)]
        z = torch.tensor([[trial.params[name] for name in names] for trial in trials], dtype=torch.float64)
        return [Proposal(z=row, label="tpe") for row in z]


def build(params: Params, context: ArmContext) -> TpeArm:
    return TpeArm(params)
