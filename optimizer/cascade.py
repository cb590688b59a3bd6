"""One candidate through the oracles in order: each stage sees the crystal the one before it returned.

A stage that returns another crystal than it was given (a relaxation) may carry it out of the search space: too close,
another space group, fewer atoms in the primitive cell. Such a candidate can never be listed, so it ends there, with an
outcome of the stage `space`, before anything dearer is spent on it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pymatgen.core import Structure

from campaigns.kinds import build_kind
from campaigns.records import Failed, FailureCode, Measured, Property, StageOutcome
from campaigns.spec import KindSpec, SearchSpace
from optimizer.measuring import finite_or_failed
from optimizer.protocols import Oracle, OracleContext
from optimizer.screening import screen

SPACE = "space"
"""The stage that looks whether a crystal an oracle returned still lies in the search space."""


@dataclass(frozen=True)
class Stage:
    """An oracle with the name under which its outcomes stand in the ledger."""

    name: str
    oracle: Oracle


@dataclass(frozen=True)
class Cascade:
    """The oracles of a campaign, and the search space that what they return must stay in."""

    stages: tuple[Stage, ...]
    space: SearchSpace

    @classmethod
    def build(cls, specs: Sequence[KindSpec], context: OracleContext, space: SearchSpace) -> Cascade:
        """Resolve every oracle. Raises SpecError naming the YAML path of the first that cannot be built."""
        stages: list[Stage] = []
        for index, spec in enumerate(specs):
            oracle = build_kind("oracle", spec, context, f"oracles.{index}")
            repeats = sum(stage.name.partition("#")[0] == spec.kind for stage in stages)
            stages.append(Stage(spec.kind if not repeats else f"{spec.kind}#{repeats + 1}", oracle))
        return cls(tuple(stages), space)

    @property
    def properties(self) -> tuple[Property, ...]:
        """Everything the stages measure, in order; a later stage overrides an earlier one of the same name."""
        return tuple({p.name: p for stage in self.stages for p in stage.oracle.properties}.values())

    @property
    def dearest(self) -> str:
        """The stage whose entries count as oracle calls: the first of the greatest nominal cost."""
        return max(self.stages, key=lambda stage: stage.oracle.nominal_seconds).name

    @property
    def nominal_seconds(self) -> float:
        """Rough cost of one candidate on one core."""
        return sum(stage.oracle.nominal_seconds for stage in self.stages)

    def evaluate(self, crystal: Structure, seed: int) -> tuple[StageOutcome, ...]:
        """Outcomes up to and including the first failure. Nothing an oracle does ends the campaign."""
        found: list[StageOutcome] = []
        for stage in self.stages:
            outcome = _ask(stage, crystal, seed)
            found.append(StageOutcome(stage.name, stage.oracle.version, outcome))
            if isinstance(outcome, Failed):
                break
            if outcome.crystal is not crystal and (left := left_the_space(outcome.crystal, self.space)):
                found.append(left)
                break
            crystal = outcome.crystal
        return tuple(found)


def left_the_space(crystal: Structure, space: SearchSpace) -> StageOutcome | None:
    """The outcome that ends the way of a crystal an oracle returned; None where it lies in the space."""
    refused = screen(crystal, space)
    return StageOutcome(SPACE, "space-1", Failed(refused.code, refused.message)) if refused else None


def _ask(stage: Stage, crystal: Structure, seed: int) -> Measured | Failed:
    """One oracle about one crystal: an exception, no answer, a missing or non-finite value are failures."""
    started = time.monotonic()
    try:
        answers = [outcome for _, outcome in stage.oracle.evaluate([crystal], seed=seed)]
        outcome = answers[0] if answers else Failed(FailureCode.ORACLE_ERROR, f"{stage.name} gave no outcome")
    except Exception as error:  # an oracle may be anybody's code
        outcome = Failed(FailureCode.ORACLE_ERROR, f"{type(error).__name__}: {error}")
    if isinstance(outcome, Measured):
        lacking = [p.name for p in stage.oracle.properties if p.name not in outcome.values]
        if lacking:
            outcome = Failed(FailureCode.INVALID_VALUE, f"{stage.name} gave no {', '.join(lacking)}")
    outcome = finite_or_failed(outcome)
    return outcome if outcome.seconds else replace(outcome, seconds=time.monotonic() - started)
