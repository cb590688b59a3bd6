"""The product with a part taken away, to see what the part is worth: `ablated+without=PART`.

alignment    a measured crystal stands at the encoder's mean, whether that decodes to it or not
feasibility  neither bounds nor failures weigh in the choice: the goal alone decides
portfolio    latents of the trust region and of the prior alone, nothing climbed, crossed or substituted
prior_mean   no process begins with a cheap prediction

What a campaign's key takes away needs no arm: `latentore+descriptors=false`; refinement is off and can be added,
`latentore+refine.every=4`. On a list nothing is decoded, so there alignment and portfolio have no say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any, Literal
from unittest.mock import patch

import torch
from pydantic import BaseModel, ConfigDict, Field
from pymatgen.core import Structure
from torch import Tensor

from benchmarks.search.arms.latentore import LatentoreArm
from benchmarks.search.protocols import ArmContext, History, Proposal, Task
from campaigns.search_space import SearchSpace
from generative.models.wyckoff_vae import WyckoffVae
from generative.protocols import Alignment, EncodeFailure
from optimizer.objective import CampaignObjective
from optimizer.portfolio import FIRST_SHARES

Part = Literal["alignment", "feasibility", "portfolio", "prior_mean"]
PLAIN_SHARES = dict.fromkeys(FIRST_SHARES, 0.0) | {"trust_region": 0.5, "prior": 0.5}


class Params(BaseModel):
    """Which part, and any key of a campaign."""

    model_config = ConfigDict(extra="allow", frozen=True)
    without: Part = Field("portfolio", description="What is taken away.")


@dataclass
class AblatedArm(LatentoreArm):
    """Proposes as the product does while `taken_away` is in force."""

    taken_away: Callable[[], AbstractContextManager[Any]] = nullcontext

    def propose(self, task: Task, history: History, n: int, seed: int) -> Sequence[Proposal]:
        with self.taken_away():
            return super().propose(task, history, n, seed)


def _at_means(
    generator: WyckoffVae, xs: Sequence[Structure], *, within: SearchSpace | None = None
) -> list[Alignment | EncodeFailure]:
    means = generator.encode(xs)
    return [Alignment(mean, decodes_back=True, steps=0) if isinstance(mean, Tensor) else mean for mean in means]


def _without_alignment() -> AbstractContextManager[Any]:
    return patch.object(WyckoffVae, "align", _at_means)


def _without_feasibility() -> AbstractContextManager[Any]:
    def always(samples: Tensor) -> Tensor:
        return torch.full_like(samples[..., 0], -1.0)

    def alike(mean: Tensor, sd: Tensor, objective: CampaignObjective) -> Tensor:
        return torch.zeros_like(mean[:, 0])

    stack = ExitStack()
    stack.enter_context(patch.object(CampaignObjective, "constraint_callables", lambda objective, seen=None: [always]))
    stack.enter_context(patch("optimizer.acquisition.discovery.log_feasibility", alike))
    return stack


def _without_portfolio() -> AbstractContextManager[Any]:
    return patch("optimizer.proposal.arm_shares", lambda *told: PLAIN_SHARES)


TAKEN_AWAY: dict[Part, Callable[[], AbstractContextManager[Any]]] = {
    "alignment": _without_alignment,
    "feasibility": _without_feasibility,
    "portfolio": _without_portfolio,
    "prior_mean": nullcontext,
}


def build(params: Params, context: ArmContext) -> AblatedArm:
    changes = {"prior_mean": False} if params.without == "prior_mean" else {}
    return AblatedArm(changes | (params.__pydantic_extra__ or {}), context, taken_away=TAKEN_AWAY[params.without])
