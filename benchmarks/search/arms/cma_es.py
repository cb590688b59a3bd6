"""CMA-ES on the latent space (N. Hansen & A. Ostermeier, Evol. Comput. 9, 159, 2001), by the package `cmaes`.

A generation is a batch. Its members are compared by the campaign's ranking (feasible before violating before failed),
which is all that CMA-ES asks for. Told are the latents that were asked for; a pool measures another crystal near by,
which is noise to it. The state is replayed from the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field

from benchmarks.search.protocols import BATCH, ArmContext, History, Proposal, Task
from benchmarks.search.running import FILLED
from campaigns.spec import Strict

SPARE = 4


class Params(Strict):
    """Of the first generation."""

    sigma: float = Field(0.5, gt=0, description="First step, in standard deviations of the prior.")


@dataclass(frozen=True)
class CmaEsArm:
    params: Params
    seed: int

    def propose(self, task: Task, history: History, n: int, seed: int) -> Sequence[Proposal]:
        from cmaes import CMA

        first = history.merits(task.objective)
        start = [i for i, row in enumerate(history.located) if row.round == 0]
        mean = history.z[max(start, key=lambda i: float(first[i]))].numpy()
        search = CMA(mean=mean, sigma=self.params.sigma, population_size=BATCH, seed=self.seed % 2**32)
        for number in range(1, history.rounds):
            asked = [search.ask() for _ in range(SPARE * BATCH)]
            rows = history.of_round(number)
            told = [(asked[int(r.label)], r.answer.values) for r in rows if r.label != FILLED]
            if len(told) < 2:
                continue
            order = task.objective.ranking([values for _, values in told])
            cost = {i: float(place) for place, i in enumerate(order)}
            solutions = [(z, cost.get(i, float(len(told)))) for i, (z, _) in enumerate(told)]
            worst = max(value for _, value in solutions)
            while len(solutions) < BATCH:  # those that a screen refused
                solutions.append((search.ask(), worst + 1))
            search.tell(solutions[:BATCH])
        asked = [search.ask() for _ in range(SPARE * BATCH)]
        return [Proposal(z=torch.from_numpy(np.asarray(z)), label=str(i)) for i, z in enumerate(asked)]


def build(params: Params, context: ArmContext) -> CmaEsArm:
    return CmaEsArm(params, context.seed)
