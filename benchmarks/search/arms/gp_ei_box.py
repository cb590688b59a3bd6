"""Plain Bayesian optimisation in a box of the latent space, as Crystal-LSBO does with its generators (O. Boyar, Y. Gu,
Y. Tanaka, S. Tonogai, T. Itakura & I. Takeuchi, "Crystal-LSBO: automated design of de novo crystals with latent space
Bayesian optimization", 2024): exact processes on z, expected improvement, the box of what was measured.

Left out: its four generators and their cycle; here the bundled one is frozen. Constraints weigh the improvement by
their probability (J. Gardner et al., ICML 2014); while nothing is feasible, that probability alone is maximised. The
batch is chosen one by one, each minding those before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from botorch.acquisition import AcquisitionFunction
from botorch.acquisition.logei import qLogExpectedImprovement, qLogProbabilityOfFeasibility
from botorch.acquisition.objective import GenericMCObjective
from botorch.optim import optimize_acqf
from botorch.sampling import SobolQMCNormalSampler
from botorch.utils.sampling import manual_seed
from pydantic import Field

from benchmarks.search.numerics import quiet_numerics
from benchmarks.search.outcome_models import fit_outcomes
from benchmarks.search.protocols import ArmContext, History, Proposal, Task
from campaigns.spec import Strict


class Params(Strict):
    """What the search for the highest improvement may cost."""

    samples: int = Field(32, ge=8, description="Quasi-Monte-Carlo samples.")
    raw: int = Field(128, ge=8, description="Sobol points of the box among which the best begin a descent.")
    restarts: int = Field(1, ge=1, description="Descents for each member of the batch.")
    steps: int = Field(10, ge=1, description="Steps of each.")


@dataclass(frozen=True)
class BoxArm:
    params: Params

    def propose(self, task: Task, history: History, n: int, seed: int) -> Sequence[Proposal]:
        how, z = self.params, history.z
        box = torch.stack([z.amin(0), z.amax(0)])
        with quiet_numerics(), manual_seed(seed):
            fitted = fit_outcomes(z, history.values, task.objective, seed=seed)
            sampler = SobolQMCNormalSampler(torch.Size([how.samples]), seed=seed % 2**31)
            constraints = task.objective.constraint_callables()
            acquisition: AcquisitionFunction
            if fitted.best is None:
                acquisition = qLogProbabilityOfFeasibility(fitted.model, constraints, sampler=sampler)
            else:
                acquisition = qLogExpectedImprovement(
                    fitted.model,
                    fitted.best,
                    sampler=sampler,
                    objective=GenericMCObjective(fitted.utility),
                    constraints=constraints,
                )
            chosen, _ = optimize_acqf(
                acquisition,
                box,
                q=n,
                num_restarts=how.restarts,
                raw_samples=how.raw,
                sequential=True,
                options={"maxiter": how.steps, "seed": seed % 2**31},
            )
        return [Proposal(z=row, label="improvement") for row in chosen.detach()]


def build(params: Params, context: ArmContext) -> BoxArm:
    return BoxArm(params)
