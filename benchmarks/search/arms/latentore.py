"""The product itself: its ledger, its proposals, its refinements. Nothing of the search is repeated here.

`latentore+KEY=VALUE` changes a key of the campaign, like `latentore+descriptors=false` or `latentore+refine.every=5`:
that is how a part is taken away to see what it is worth.

A pool charges another crystal than was proposed. The candidate's outcome is then that of the crystal that was charged,
and so is its latent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from benchmarks.search.protocols import Answer, ArmContext, History, Proposal, Row, Task
from benchmarks.search.running import FILLED
from campaigns.errors import UserError
from campaigns.ledger import Latent
from campaigns.records import Candidate, Failed, FailureCode, Measured, StageOutcome
from campaigns.spec import CampaignSpec, parse_spec
from campaigns.store import CampaignStore
from optimizer.asking import close_rounds
from optimizer.build import Parts
from optimizer.build import build as build_parts
from optimizer.loop import open_or_create
from optimizer.proposal import propose_phase
from optimizer.refinement import current_generator, refine_phase, refinement_due

VERSION = "benchmark"


class Params(BaseModel):
    """Any key of a campaign."""

    model_config = ConfigDict(extra="allow", frozen=True)


@dataclass
class LatentoreArm:
    """The ledger in `context.folder` is made again from the history where it is missing: proposals follow from both."""

    changes: dict[str, Any]
    context: ArmContext
    parts: Parts | None = None

    def propose(self, task: Task, history: History, n: int, seed: int) -> Sequence[Proposal]:
        self.parts = self.parts or build_parts(self._spec(task), self.context.folder)
        with open_or_create(self.parts, self.context.folder) as store, store.lock():
            self.parts = current_generator(self.parts, store)
            self._begin(store, history)
            close_rounds(store)
            told = {record.round for record in store.rounds() if record.phase == "evaluate"}
            for number in sorted(set(range(1, history.rounds)) - told):
                self._round(store, number, len(history.of_round(number)))
                self._record(store, task, history.of_round(number))
                close_rounds(store)
            self._round(store, history.rounds, n)
            chosen = store.candidates(history.rounds)
        return [Proposal(crystal=c.crystal, label=f"{c.id} {c.arm}") for c in chosen]

    def _spec(self, task: Task) -> CampaignSpec:
        data = task.spec.model_dump(mode="json", exclude_unset=True)
        data |= {"name": f"latentore-{self.context.seed}", "seed": self.context.seed, "device": "cpu"}
        data["budget"] = {"oracle_calls": self.context.budget}
        return parse_spec(data | self.changes)

    def _begin(self, store: CampaignStore, history: History) -> None:
        assert self.parts is not None
        if store.phase_done(0, "start"):
            return
        rows = history.of_round(0)
        version = self.parts.generator.version
        candidates = [
            Candidate(f"000-{i:04d}", 0, row.label, row.answer.crystal, None, version) for i, row in enumerate(rows)
        ]
        store.finish_phase(0, "start", candidates=candidates, figures={"labels": {}})
        self._record_all(store, [(c.id, row.answer) for c, row in zip(candidates, rows, strict=True)])

    def _round(self, store: CampaignStore, number: int, q: int) -> None:
        """Retrain where the campaign says so, then propose; nothing where the ledger holds it already."""
        assert self.parts is not None
        if store.phase_done(number, "propose"):
            return
        if refinement_due(store, self.parts.objective, number - 1):
            self.parts = refine_phase(self.parts, store, number - 1, self.context.say)
        propose_phase(self.parts, store, number, q, self.context.say)

    def _record(self, store: CampaignStore, task: Task, rows: Sequence[Row]) -> None:
        told = {row.label.partition(" ")[0]: row.answer for row in rows if row.label != FILLED}
        waiting = {c.id for c in store.pending()}
        known = {c.id for c in store.candidates()}
        if unknown := set(told) - known:
            raise UserError(
                f"{self.context.folder}: proposes otherwise than the run beside it ({min(unknown)}).",
                "Remove both, or go on with the versions that started them.",
            )
        self._record_all(store, [(name, answer) for name, answer in told.items() if name in waiting])

    def _record_all(self, store: CampaignStore, told: Sequence[tuple[str, Answer]]) -> None:
        assert self.parts is not None
        generator, latents = self.parts.generator, {}
        others = [(name, answer.crystal) for name, answer in told if answer.name is not None]
        # the encoder's means, by whose distances the pool charges
        for (name, _), place in zip(others, generator.encode([crystal for _, crystal in others]), strict=True):
            if isinstance(place, torch.Tensor):
                latents[name] = Latent(place.tolist(), "nearest")
        store.add_latents(generator.version, latents)
        for name, answer in told:
            store.record(name, self._stages(answer))

    def _stages(self, answer: Answer) -> list[StageOutcome]:
        assert self.parts is not None
        stage, found = self.parts.cascade.dearest, []
        if answer.values:
            found.append(StageOutcome(stage, VERSION, Measured(answer.values, answer.crystal)))
        if answer.failure is not None:
            found.append(StageOutcome(stage, VERSION, Failed(FailureCode(answer.failure), answer.failure)))
        return found


def build(params: Params, context: ArmContext) -> LatentoreArm:
    return LatentoreArm(dict(params.__pydantic_extra__ or {}), context)
