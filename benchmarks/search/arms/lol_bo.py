"""Latent Bayesian optimisation with LOL-BO's and InvBO's settings, as far as a frozen generator permits (N. Maus et
al., "Local latent space Bayesian optimization over structured inputs", NeurIPS 2022; J. Chu et al., "Inversion-based
latent Bayesian optimization", NeurIPS 2024).

Kept: a TuRBO region with LOL-BO's tolerances (10 batches with a gain, 32 without); inversion, every measured crystal
standing at a latent that decodes to it; the anchor chosen by potential, how often a Thompson draw is best around it,
added to its own rank (after InvBO, section 3.3). Left out: training the generator together with the surrogate, for
which the frozen bundled one stands, and the deep kernel, for which an exact process with one length scale per
dimension does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import torch
from pydantic import Field
from torch import Tensor

from benchmarks.search.arms.turbo import EDGE, FRESH, perturbed, region_of, thompson
from benchmarks.search.arms.turbo import Params as TurboParams
from benchmarks.search.numerics import quiet_numerics
from benchmarks.search.outcome_models import Outcomes, fit_outcomes
from benchmarks.search.protocols import ArmContext, History, Proposal, Row, Task
from generative.protocols import Alignment

SPARE = 4
DRAWS = 32
OF_LISTS: WeakKeyDictionary[Task, dict[str, Tensor]] = WeakKeyDictionary()  # every seed meets a list's crystals again


class Params(TurboParams):
    """Of the papers; those of the region as in `turbo`."""

    successes: int = Field(10, ge=1, description="Batches in a row with a gain before the edge doubles.")
    failures: int | None = Field(32, ge=1, description="Batches in a row without one before it halves.")
    anchors: int = Field(10, ge=1, description="The best so many crystals may be the centre.")


@dataclass
class LolBoArm:
    params: Params
    inverted: dict[int, Tensor] = field(default_factory=dict)  # latents of the rows by their place, found once

    def propose(self, task: Task, history: History, n: int, seed: int) -> Sequence[Proposal]:
        d = task.generator.latent_dim
        known = self._inverted(task, history)
        region = region_of(known, task.objective, self.params, d, n)
        if region.fresh > 0 or not region.rows:
            noise = torch.Generator().manual_seed(seed)
            z = torch.randn(8 * n, d, generator=noise, dtype=torch.float64)
            return [Proposal(z=row, label=FRESH) for row in z]
        local = History(region.rows)
        x = (local.z.clamp(-EDGE, EDGE) + EDGE) / (2 * EDGE)
        with quiet_numerics():
            fitted = fit_outcomes(x, local.values, task.objective, seed=seed, kind="tutorial")
            merits = local.merits(task.objective)
            centre = x[self._anchor(fitted, x, merits, region.length, seed)]
            offered = perturbed(fitted, centre, region.length, self.params.candidates, seed)
            chosen = thompson(fitted, offered, SPARE * n, seed)
        return [Proposal(z=row * 2 * EDGE - EDGE, label="region") for row in offered[chosen]]

    def _anchor(self, fitted: Outcomes, x: Tensor, merits: Tensor, length: float, seed: int) -> int:
        """Place of the row with the highest sum of its rank by merit and the share of draws that are best around it."""
        best = merits.argsort(descending=True)[: self.params.anchors].tolist()
        each = max(1, self.params.candidates // len(best) // 2)
        groups = [perturbed(fitted, x[i], length, each, seed + place) for place, i in enumerate(best)]
        won = thompson(fitted, torch.cat(groups), DRAWS, seed)
        potential = torch.bincount(torch.tensor(won) // each, minlength=len(best)) / len(won)
        own = torch.arange(len(best), 0, -1) / len(best)
        return int(best[int((own + potential).argmax())])

    def _inverted(self, task: Task, history: History) -> History:
        """The history with latents that decode to the crystals."""
        known = {} if history.rows[0].answer.name is None else OF_LISTS.setdefault(task, {})
        self.inverted |= {i: known[name] for i, row in enumerate(history.rows) if (name := row.answer.name) in known}
        new = [i for i, row in enumerate(history.rows) if i not in self.inverted and row.answer.z is not None]
        found = task.generator.align([history.rows[i].answer.crystal for i in new], within=task.spec.space)
        for i, place in zip(new, found, strict=True):
            answer = history.rows[i].answer
            assert answer.z is not None
            self.inverted[i] = place.z if isinstance(place, Alignment) else answer.z
            if answer.name is not None:
                known[answer.name] = self.inverted[i]
        rows = [_moved(row, self.inverted.get(i)) for i, row in enumerate(history.rows)]
        return History(tuple(rows))


def _moved(row: Row, z: Tensor | None) -> Row:
    return row if z is None else replace(row, answer=replace(row.answer, z=z))


def build(params: Params, context: ArmContext) -> LolBoArm:
    return LolBoArm(params)
