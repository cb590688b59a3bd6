"""A closed form on the latent space, for quick runs: the optimum is known, and what is infeasible and what fails.

The value of a crystal follows from its latent (the encoder's mean): `height` = exp(-|z - z*|^2 / (2 w^2)) and a ripple,
the highest, 1, at the latent z* of a crystal, so it can be reached. A crystal is infeasible
where `slope`, a linear function of z that is negative at z*, is positive: about a third of what lies around; where
another is beyond a bound (a tenth of the prior) it fails. A latent is first decoded, so each call is of a crystal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from pymatgen.core import Structure
from torch import Tensor

from benchmarks.search.crystals import crystal_answers, screened
from benchmarks.search.protocols import BATCH, Answer, History, Proposal, TaskContext
from campaigns.crystals import crystal_from_json, crystal_to_json
from campaigns.records import FailureCode
from campaigns.spec import CampaignSpec, Strict, parse_spec
from generative.models.wyckoff_vae import Params as GeneratorParams
from generative.models.wyckoff_vae import build as build_generator
from generative.protocols import Generator, GeneratorContext
from optimizer.objective import CampaignObjective
from optimizer.references import ReferenceTable

HEIGHT, SLOPE = "height", "slope"
CALLS = 200  # of a run, unless it is told otherwise
START = 16
DRAWN = 64  # samples among which the optimum is chosen
FAILS_BEYOND = 1.28  # standard deviations: a tenth of the prior
INFEASIBLE_BEYOND = 0.43  # a third


class Params(Strict):
    """Which landscape."""

    landscape: int = Field(0, ge=0, description="Draws the optimum and the two directions.")
    width: float = Field(6.0, gt=0, description="Of the hill, in standard deviations of the prior.")


@dataclass(frozen=True, eq=False)
class ClosedForm:
    name: str
    spec: CampaignSpec
    objective: CampaignObjective
    generator: Generator
    references: ReferenceTable
    width: float
    optimum: Tensor  # [d]
    directions: Tensor  # [2, d], of length 1

    @property
    def listed(self) -> Mapping[str, Structure]:
        return {}

    @property
    def figures(self) -> Mapping[str, Any]:
        return {"generator": self.generator.version, "optimum": 1.0}

    def value(self, z: Tensor) -> dict[str, float] | None:
        """Of one latent `[d]`; None where it fails."""
        slopes = self.directions @ (z - self.optimum)
        if float(self.directions[1] @ z) > FAILS_BEYOND:
            return None
        distance = (z - self.optimum).square()
        height = torch.exp(-distance.sum() / (2 * self.width**2))
        ripple = 0.05 * (torch.cos(3 * (z - self.optimum)[:4]).mean() - 1)
        return {HEIGHT: float(height + ripple), SLOPE: float(slopes[0] - INFEASIBLE_BEYOND)}

    def start(self, seed: int) -> list[Answer]:
        noise = torch.Generator().manual_seed(seed)
        z = torch.randn(8 * START, self.generator.latent_dim, generator=noise, dtype=torch.float64)
        found = self.measure([Proposal(z=row) for row in z], START, History(), seed)
        return [answer for _, answer in found]

    def measure(self, proposals: Sequence[Proposal], n: int, history: History, seed: int) -> list[tuple[int, Answer]]:
        found = screened(self, proposals, n, history, seed)
        answers = crystal_answers(self.generator, [x for _, x in found])
        return [(i, self._measured(a)) for (i, _), a in zip(found, answers, strict=True)]

    def _measured(self, answer: Answer) -> Answer:
        values = None if answer.z is None else self.value(answer.z)
        failure = FailureCode.ORACLE_ERROR.value if values is None else None
        return Answer(answer.crystal, answer.z, values, failure)

    def finished(self, history: History) -> bool:
        return False

    def record(self, answer: Answer) -> dict[str, Any]:
        return {"crystal": crystal_to_json(answer.crystal), "values": answer.values, "failure": answer.failure}

    def close(self) -> None:
        """Nothing is held."""

    def restore(self, records: Sequence[Mapping[str, Any]]) -> list[Answer]:
        crystals = [crystal_from_json(each["crystal"]) for each in records]
        return [self._measured(answer) for answer in crystal_answers(self.generator, crystals)]


def build(params: Params, context: TaskContext) -> ClosedForm:
    generator = build_generator(GeneratorParams(), GeneratorContext(torch.device("cpu")))
    spec = parse_spec(
        {
            "name": "closed_form",
            "space": {"n_elements": [2, 3], "n_atoms": [2, 6]},
            "oracles": [{"kind": "external", "properties": {HEIGHT: "1", SLOPE: "1"}}],
            "objectives": {HEIGHT: "maximize"},
            "constraints": {SLOPE: {"max": 0.0}},
            "batch_size": BATCH,
            "budget": {"oracle_calls": 200},
        }
    )
    noise = torch.Generator().manual_seed(params.landscape)
    directions = torch.randn(2, generator.latent_dim, generator=noise, dtype=torch.float64)
    directions = directions / directions.norm(dim=1, keepdim=True)
    z = _reachable(generator, spec, directions, noise)
    objective = CampaignObjective.from_spec(spec)
    name = f"closed_form-{params.landscape}"
    return ClosedForm(name, spec, objective, generator, ReferenceTable.load(), params.width, z, directions)


def _reachable(generator: Generator, spec: CampaignSpec, directions: Tensor, noise: torch.Generator) -> Tensor:
    """Of the latents of samples that do not fail the one that decoding and encoding again moves least."""
    z = torch.randn(DRAWN, generator.latent_dim, generator=noise, dtype=torch.float64)
    once = _again(generator, spec, z)
    twice = _again(generator, spec, once)
    moved = (twice - once).norm(dim=1).masked_fill(once @ directions[1] > 0, torch.inf)
    return once[int(moved.nan_to_num(torch.inf).argmin())]


def _again(generator: Generator, spec: CampaignSpec, z: Tensor) -> Tensor:
    """Latents `[n, d]` of what z decodes to; NaN where there is none."""
    decoded = generator.decode(z.nan_to_num(0.0), within=spec.space, seed=0)
    there = [i for i, x in enumerate(decoded) if isinstance(x, Structure)]
    found = torch.full_like(z, torch.nan)
    for i, mean in zip(there, generator.encode([x for x in decoded if isinstance(x, Structure)]), strict=True):
        if isinstance(mean, Tensor):
            found[i] = mean
    return found
