"""Candidates through the oracles in order: each stage sees the crystal the one before it returned.

A stage that returns another crystal than it was given (a relaxation) may carry it out of the search space: too close,
another space group, fewer atoms in the primitive cell. Such a candidate can never be listed, so it ends there, with an
outcome of the stage `space`, before anything dearer is spent on it. A candidate that the rule or the budget of a stage
keeps out ends with an outcome of the stage `before <name>`, and has not entered it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from pymatgen.core import Structure

from campaigns.kinds import build_kind
from campaigns.records import Failed, FailureCode, Measured, Property, StageOutcome, last_values
from campaigns.search_space import SearchSpace
from campaigns.spec import KindSpec
from optimizer.measuring import finite_or_failed
from optimizer.protocols import Oracle, OracleContext
from optimizer.result_cache import remembered
from optimizer.screening import screen

SPACE = "space"
"""The stage that looks whether a crystal an oracle returned still lies in the search space."""
GIVEN = "given"
"""The stage of values that a start crystal came with."""

Stages = tuple[StageOutcome, ...]


@dataclass(frozen=True)
class Stage:
    """An oracle with the name under which its outcomes stand in the ledger."""

    name: str
    oracle: Oracle

    @property
    def together(self) -> int:
        """How many crystals the oracle is quickest with."""
        return int(getattr(self.oracle, "together", 1))


@dataclass(frozen=True)
class Threshold:
    """What a property must keep to, ends included. `why` says where the number comes from."""

    name: str
    low: float = -inf
    high: float = inf
    why: str = ""


@dataclass(frozen=True)
class Gate:
    """Whether one candidate may enter one stage. Made by `optimizer.gates`."""

    thresholds: tuple[Threshold, ...] = ()
    spent: str = ""  # why the stage's budget keeps it out; empty where it does not

    def refusal(self, values: Mapping[str, float]) -> Failed | None:
        """STOPPED_BY_RULE or STAGE_BUDGET_SPENT for a candidate with these values; None where it may enter."""
        for each in self.thresholds:
            value = values[each.name]
            side, limit = ("below", each.low) if value < each.low else ("above", each.high)
            if not each.low <= value <= each.high:
                message = f"{each.name} {value:.4g} is {side} {limit:.4g}{each.why}"
                return Failed(FailureCode.STOPPED_BY_RULE, message)
        return Failed(FailureCode.STAGE_BUDGET_SPENT, self.spent) if self.spent else None


@dataclass(frozen=True)
class CascadeTask:
    """One crystal for the cascade; `gates` by the name of the stage."""

    crystal: Structure
    seed: int
    gates: Mapping[str, Gate] | None = None


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

    def remembering(self, specs: Sequence[KindSpec], folder: Path | None) -> Cascade:
        """The same, not asking repeatable oracles what lies in `folder`. `specs` are what it was built from."""
        if folder is None:
            return self
        pairs = zip(self.stages, specs, strict=True)
        return replace(self, stages=tuple(Stage(s.name, remembered(s.oracle, spec, folder)) for s, spec in pairs))

    @property
    def properties(self) -> tuple[Property, ...]:
        """Everything the stages measure, in order; a later stage overrides an earlier one of the same name."""
        return tuple({p.name: p for stage in self.stages for p in stage.oracle.properties}.values())

    def measured_again(self) -> list[tuple[str, str, Property, str]]:
        """(stage, later stage, property, its unit in the first) of what a later stage measures again, and replaces."""
        found: list[tuple[str, str, Property, str]] = []
        last: dict[str, tuple[str, str]] = {}
        for stage in self.stages:
            for prop in stage.oracle.properties:
                if prop.name in last:
                    first, unit = last[prop.name]
                    found.append((first, stage.name, prop, unit))
                last[prop.name] = stage.name, prop.unit
        return found

    @property
    def sources(self) -> dict[str, tuple[str, str]]:
        """Property -> its unit and the version of the oracle that has the last word on it."""
        return {p.name: (p.unit, stage.oracle.version) for stage in self.stages for p in stage.oracle.properties}

    @property
    def versions(self) -> dict[str, str]:
        """Stage -> version of its oracle."""
        return {stage.name: stage.oracle.version for stage in self.stages}

    @property
    def dearest(self) -> str:
        """The stage whose entries count as oracle calls: the first of the greatest nominal cost."""
        return max(self.stages, key=lambda stage: stage.oracle.nominal_seconds).name

    @property
    def nominal_seconds(self) -> float:
        """Rough cost of one candidate on one core."""
        return sum(stage.oracle.nominal_seconds for stage in self.stages)

    @property
    def together(self) -> int:
        """How many candidates it is quickest with: 1, or what the hungriest of its oracles asks for."""
        return max(stage.together for stage in self.stages)

    def evaluate(self, crystal: Structure, seed: int, gates: Mapping[str, Gate] | None = None) -> Stages:
        """Outcomes up to and including the first failure. Nothing an oracle does ends the campaign."""
        ((_, stages),) = self.evaluate_together([CascadeTask(crystal, seed, gates)])
        return stages

    def evaluate_together(self, tasks: Sequence[CascadeTask]) -> Iterator[tuple[int, Stages]]:
        """`(index, outcomes)` of each task as it ends; an oracle that takes many gets all that are on their way."""
        found: dict[int, Stages] = dict.fromkeys(range(len(tasks)), ())
        crystals = {index: task.crystal for index, task in enumerate(tasks)}
        for stage in self.stages:
            for index in list(crystals):
                gate = (tasks[index].gates or {}).get(stage.name)
                if gate and (refused := gate.refusal(last_values(found[index]))):
                    del crystals[index]
                    yield index, (*found[index], stopped_before(stage.name, refused))
            for index, outcome in _asked(stage, crystals, tasks):
                found[index] = (*found[index], StageOutcome(stage.name, stage.oracle.version, outcome))
                if isinstance(outcome, Failed):
                    del crystals[index]
                    yield index, found[index]
                elif outcome.crystal is not crystals[index] and (left := left_the_space(outcome.crystal, self.space)):
                    del crystals[index]
                    yield index, (*found[index], left)
                else:
                    crystals[index] = outcome.crystal
        for index in crystals:
            yield index, found[index]


def stopped_before(stage: str, refused: Failed) -> StageOutcome:
    """The outcome of a candidate that its gate keeps out of a stage."""
    return StageOutcome(f"before {stage}", "gate-1", refused)


def left_the_space(crystal: Structure, space: SearchSpace) -> StageOutcome | None:
    """The outcome that ends the way of a crystal an oracle returned; None where it lies in the space."""
    refused = screen(crystal, space)
    return StageOutcome(SPACE, "space-1", Failed(refused.code, refused.message)) if refused else None


def _asked(
    stage: Stage, crystals: Mapping[int, Structure], tasks: Sequence[CascadeTask]
) -> Iterator[tuple[int, Measured | Failed]]:
    """One outcome for each crystal, as each finishes: many at once where the oracle wants many."""
    order = list(crystals)
    for names in [order] if stage.together > 1 and order else [[index] for index in order]:
        for place, outcome in _answers(stage, [crystals[index] for index in names], tasks[names[0]].seed):
            yield names[place], outcome


def _answers(stage: Stage, crystals: Sequence[Structure], seed: int) -> Iterator[tuple[int, Measured | Failed]]:
    """What the oracle says: an exception, no answer, a missing or non-finite value are failures."""
    started = time.monotonic()
    unanswered = set(range(len(crystals)))
    problem = f"{stage.name} gave no outcome"
    try:
        for index, outcome in stage.oracle.evaluate(crystals, seed=seed):
            if index in unanswered:
                unanswered.remove(index)
                yield index, _sound(stage, outcome, time.monotonic() - started)
    except Exception as error:  # an oracle may be anybody's code
        problem = f"{type(error).__name__}: {error}"
    for index in sorted(unanswered):
        yield index, Failed(FailureCode.ORACLE_ERROR, problem, time.monotonic() - started)


def _sound(stage: Stage, outcome: Measured | Failed, seconds: float) -> Measured | Failed:
    if isinstance(outcome, Measured):
        lacking = [p.name for p in stage.oracle.properties if p.name not in outcome.values]
        if lacking:
            outcome = Failed(FailureCode.INVALID_VALUE, f"{stage.name} gave no {', '.join(lacking)}")
    outcome = finite_or_failed(outcome)
    return outcome if outcome.seconds else replace(outcome, seconds=seconds)
