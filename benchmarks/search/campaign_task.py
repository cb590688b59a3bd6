"""A campaign with oracles that compute, as a task: the product's own cascade measures what an arm proposes.

What the oracles said is kept by crystal in the benchmark's cache, shared by every arm and seed: a rerun is cheap, and
a call that is answered from there counts as one all the same. Calls are candidates that pass the screens, as in a
campaign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import torch
from pymatgen.core import Structure
from torch import Tensor

from benchmarks.search.crystals import screened
from benchmarks.search.protocols import BATCH, Answer, History, Proposal, TaskContext
from campaigns.crystals import crystal_from_json, crystal_to_json
from campaigns.records import StageOutcome, all_flags, final_crystal, first_failure
from campaigns.spec import CampaignSpec, parse_spec
from generative.protocols import Generator
from optimizer.build import Parts
from optimizer.build import build as build_parts
from optimizer.evaluation import Evaluator
from optimizer.evidence import observed_values
from optimizer.objective import CampaignObjective
from optimizer.references import ReferenceTable

START = 16


@dataclass
class CampaignTask:
    """See the module; worker processes start with the first crystal and end with `close`."""

    name: str
    parts: Parts
    cache: Path
    evaluator: Evaluator | None = None

    @property
    def spec(self) -> CampaignSpec:
        return self.parts.spec

    @property
    def objective(self) -> CampaignObjective:
        return self.parts.objective

    @property
    def generator(self) -> Generator:
        return self.parts.base

    @property
    def references(self) -> ReferenceTable:
        return self.parts.references

    @property
    def figures(self) -> Mapping[str, Any]:
        oracles = {stage.name: stage.oracle.version for stage in self.parts.cascade.stages}
        return {"generator": self.generator.version, "references": self.references.version, "oracles": oracles}

    @property
    def listed(self) -> Mapping[str, Structure]:
        return {}

    def start(self, seed: int) -> list[Answer]:
        """Samples of the prior that pass the screens."""
        noise = torch.Generator().manual_seed(seed)
        z = torch.randn(8 * START, self.generator.latent_dim, generator=noise, dtype=torch.float64)
        return [answer for _, answer in self.measure([Proposal(z=row) for row in z], START, History(), seed)]

    def measure(self, proposals: Sequence[Proposal], n: int, history: History, seed: int) -> list[tuple[int, Answer]]:
        """What the screens refuse is passed over and costs nothing."""
        found = screened(self, proposals, n, history, seed)
        if self.evaluator is None:
            self.evaluator = self.parts.evaluator(self.cache).__enter__()
        tasks = [(f"{seed}-{i}", crystal, seed % 2**31 + i) for i, (_, crystal) in enumerate(found)]
        stages = dict(self.evaluator.evaluate(tasks, Event()))
        answers = [self._answer(stages[name], crystal) for name, crystal, _ in tasks]
        return list(zip([index for index, _ in found], self._placed(answers), strict=True))

    def _answer(self, stages: Sequence[StageOutcome], proposed: Any) -> Answer:
        failed = first_failure(stages)
        return Answer(
            final_crystal(stages, proposed),
            None,
            observed_values(stages, self.objective),
            failed.code.value if failed else None,
            flags=tuple(sorted(all_flags(stages))),
        )

    def _placed(self, answers: Sequence[Answer]) -> list[Answer]:
        """With the latents of what was measured."""
        latents = self.generator.encode([answer.crystal for answer in answers])
        return [replace(a, z=z if isinstance(z, Tensor) else None) for a, z in zip(answers, latents, strict=True)]

    def finished(self, history: History) -> bool:
        return False

    def record(self, answer: Answer) -> dict[str, Any]:
        found = {"crystal": crystal_to_json(answer.crystal), "values": answer.values and dict(answer.values)}
        return {**found, "failure": answer.failure, "flags": list(answer.flags)}

    def restore(self, records: Sequence[Mapping[str, Any]]) -> list[Answer]:
        return self._placed(
            [
                Answer(crystal_from_json(r["crystal"]), None, r["values"], r["failure"], flags=tuple(r["flags"]))
                for r in records
            ]
        )

    def close(self) -> None:
        if self.evaluator is not None:
            self.evaluator.__exit__(None, None, None)


def campaign_task(data: Mapping[str, Any], context: TaskContext) -> CampaignTask:
    """From what a campaign file would say, without name, batch and budget."""
    answers = context.cache.resolve() / "answers"
    rest = {"batch_size": BATCH, "cache": str(answers), "budget": {"oracle_calls": 10_000}, "device": "cpu"}
    spec = parse_spec({**data, **rest})
    return CampaignTask(spec.name, build_parts(spec, Path()), answers)
