"""The generator itself is retrained towards what scored well; no surrogate. After J. Chen et al., "Accelerating
inverse materials design using generative diffusion models with reinforcement learning" (MatInvent, 2025), with the
bundled generator in the place of a diffusion model.

Every `every` rounds the generator in use is refined on the best `kept` of everything measured (experience replay), by
rank, half of each batch being samples of its own, which keeps it near where it was (`generative.refinement`). The next
batches are its samples as they come. Weights lie in the run's folder; where they are missing they are trained again
from the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pydantic import Field
from pymatgen.core import Structure

from benchmarks.search.protocols import ArmContext, History, Proposal, Task
from benchmarks.search.running import round_seed
from campaigns.artifacts import write_durably
from campaigns.spec import Strict
from generative.models.wyckoff_vae import WyckoffVae
from generative.protocols import Generator
from generative.refinement import rank_weights

SPARE = 8
TRAINING = 10**6  # apart from the seeds of batches


class Params(Strict):
    """How often and how much."""

    every: int = Field(2, ge=1, description="Rounds from one refinement to the next.")
    steps: int = Field(32, ge=1, description="Batches of 64 crystals in each.")
    kept: int = Field(32, ge=1, description="Best crystals to learn from.")


@dataclass
class FineTuningArm:
    params: Params
    context: ArmContext
    in_use: tuple[int, Generator] | None = None  # the round after which it was refined

    def propose(self, task: Task, history: History, n: int, seed: int) -> Sequence[Proposal]:
        generator = self._tuned(task, history)
        noise = torch.Generator().manual_seed(seed)
        z = torch.randn(SPARE * n, generator.latent_dim, generator=noise, dtype=torch.float64)
        crystals = generator.decode(z, within=task.spec.space, seed=seed)
        return [Proposal(crystal=x, label="sample") for x in crystals if isinstance(x, Structure)]

    def _tuned(self, task: Task, history: History) -> Generator:
        """What the refinements so far have made of the task's generator."""
        due = [r for r in range(1, history.rounds) if (r - 1) % self.params.every == 0]
        kept = [r for r in due if self._file(r).exists()]
        generator: Generator = task.generator
        if isinstance(generator, WyckoffVae):
            generator = replace(generator, refine_steps=self.params.steps)
        done = 0
        if self.in_use is not None and self.in_use[0] in due:
            done, generator = self.in_use
        elif kept:
            done, generator = kept[-1], generator.restored(self._file(kept[-1]).read_bytes())
        for number in (r for r in due if r > done):
            so_far = History(tuple(row for row in history.rows if row.round <= number))
            generator = self._refined(generator, task, so_far, number)
        return generator

    def _refined(self, generator: Generator, task: Task, history: History, number: int) -> Generator:
        order = [i for i in task.objective.ranking(history.values) if task.objective.complete(history.values[i])]
        best = [history.located[i].answer.crystal for i in order[: self.params.kept]]
        if best:
            seed = round_seed(self.context.seed, number, TRAINING)
            generator = generator.refine(best, rank_weights(len(best)).tolist(), seed=seed)
        self.context.folder.mkdir(parents=True, exist_ok=True)
        write_durably(self._file(number), generator.serialized())
        for older in self.context.folder.glob("generator-*.safetensors"):
            if older != self._file(number):
                older.unlink()
        self.in_use = number, generator
        return generator

    def _file(self, number: int) -> Path:
        return self.context.folder / f"generator-{number:04d}.safetensors"


def build(params: Params, context: ArmContext) -> FineTuningArm:
    return FineTuningArm(params, context)
