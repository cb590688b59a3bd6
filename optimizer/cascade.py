"""One candidate through the oracles in order: each stage sees the crystal the one before it returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pymatgen.core import Structure

from campaigns.kinds import build_kind
from campaigns.records import Failed, FailureCode, Measured, Property, StageOutcome
from campaigns.spec import KindSpec
from optimizer.protocols import Oracle, OracleContext


@dataclass(frozen=True)
class Stage:
    """An oracle with the name under which its outcomes stand in the ledger."""

    name: str
    oracle: Oracle


@dataclass(frozen=True)
class Cascade:
    """The oracles of a campaign."""

    stages: tuple[Stage, ...]

    @classmethod
    def build(cls, specs: Sequence[KindSpec], context: OracleContext) -> Cascade:
        """Resolve every oracle. Raises SpecError naming the YAML path of the first that cannot be built."""
        stages: list[Stage] = []
        for index, spec in enumerate(specs):
            oracle = build_kind("oracle", spec, context, f"oracles.{index}")
            repeats = sum(stage.name.partition("#")[0] == spec.kind for stage in stages)
            stages.append(Stage(spec.kind if not repeats else f"{spec.kind}#{repeats + 1}", oracle))
        return cls(tuple(stages))

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
        """Outcomes up to and including the first failure."""
        found: list[StageOutcome] = []
        for stage in self.stages:
            outcome: Measured | Failed | None = next(
                (each for _, each in stage.oracle.evaluate([crystal], seed=seed)), None
            )
            if outcome is None:
                outcome = Failed(FailureCode.ORACLE_ERROR, f"{stage.name} gave no outcome")
            found.append(StageOutcome(stage.name, stage.oracle.version, outcome))
            if isinstance(outcome, Failed):
                break
            crystal = outcome.crystal
        return tuple(found)
