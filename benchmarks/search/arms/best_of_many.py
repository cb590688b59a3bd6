"""Screening: the best of a large pool of generated crystals by a predictor, the usual way to use a generator.

A random forest for each property (L. Breiman, Mach. Learn. 45, 5, 2001) on descriptors of composition and volume,
fitted to everything measured, ranks `pool` decoded samples of the prior, or the task's list where it has one; the best
are measured, and it is fitted again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pymatgen.core import Structure
from sklearn.ensemble import RandomForestRegressor

from benchmarks.search.protocols import ArmContext, History, Proposal, Task
from campaigns.spec import Strict
from generative.representations.wyckoff import fingerprint
from optimizer.descriptors import descriptors

SPARE = 4


class Params(Strict):
    """How much is predicted."""

    listed: bool = Field(True, description="Rank the task's list, where it has one, in place of samples.")
    pool: int = Field(1024, ge=8, description="Samples decoded for each batch.")
    trees: int = Field(100, ge=1, description="Of each forest.")


@dataclass(frozen=True)
class BestOfManyArm:
    params: Params

    def propose(self, task: Task, history: History, n: int, seed: int) -> Sequence[Proposal]:
        measured = descriptors([row.answer.crystal for row in history.located], task.references).numpy()
        crystals, offered = self._offered(task, history, seed)
        y, observed = task.objective.table(history.values)
        predicted: dict[str, list[float]] = {}
        for column, name in enumerate(task.objective.properties):
            there = observed[:, column].numpy()
            forest = RandomForestRegressor(self.params.trees, max_features=0.33, random_state=seed % 2**32)
            known = np.zeros(len(crystals))
            if there.any():
                known = forest.fit(measured[there], y[there, column].numpy()).predict(offered)
            predicted[name] = known.tolist()
        values = [{name: predicted[name][i] for name in predicted} for i in range(len(crystals))]
        return [Proposal(crystal=crystals[i], label="pool") for i in task.objective.ranking(values)[: SPARE * n]]

    def _offered(self, task: Task, history: History, seed: int) -> tuple[list[Structure], NDArray[np.float64]]:
        """What is ranked, and its descriptors `[k, p]`."""
        if self.params.listed and task.listed:
            left = history.left(task)
            return left, descriptors(left, task.references).numpy()
        noise = torch.Generator().manual_seed(seed)
        z = torch.randn(self.params.pool, task.generator.latent_dim, generator=noise, dtype=torch.float64)
        seen = {fingerprint(row.answer.crystal) for row in history.located}
        crystals: list[Structure] = []
        for crystal in task.generator.decode(z, within=task.spec.space, seed=seed):
            if isinstance(crystal, Structure) and (mark := fingerprint(crystal)) not in seen:
                seen.add(mark)
                crystals.append(crystal)
        return crystals, descriptors(crystals, task.references).numpy()


def build(params: Params, context: ArmContext) -> BestOfManyArm:
    return BestOfManyArm(params)
