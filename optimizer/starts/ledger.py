"""Begin with what an older campaign measured: its run folder is read, and nothing in it costs a call again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from campaigns.errors import LedgerError
from campaigns.records import (
    FailureCode,
    Measured,
    StageOutcome,
    all_flags,
    final_crystal,
    first_failure,
    last_uncertainties,
    last_values,
)
from campaigns.search_space import SearchSpace
from campaigns.spec import Strict
from campaigns.store import CampaignStore
from generative.protocols import DecodeFailure, Generator
from optimizer.cascade import GIVEN
from optimizer.crystal_files import located
from optimizer.protocols import StartContext, StartCrystal
from optimizer.stated_units import stated_units

ANOTHER = "given_by_another_oracle"


class Params(Strict):
    """Which campaign."""

    path: str = Field(description="Run folder of the older campaign, relative to the campaign file.")


@dataclass(frozen=True)
class OlderCampaign:
    path: Path
    properties: tuple[str, ...]
    sources: Mapping[str, tuple[str, str]]  # of this campaign: property -> unit, oracle version
    limit: ClassVar[int | None] = None
    allow_known: ClassVar[bool] = True

    def crystals(
        self, generator: Generator, space: SearchSpace, *, seed: int
    ) -> Iterator[StartCrystal | DecodeFailure]:
        with CampaignStore.open(self.path) as store:
            evaluated = list(store.evaluated())
        for candidate, stages in evaluated:
            values = last_values(stages)
            if first_failure(stages) or any(name not in values for name in self.properties):
                yield DecodeFailure(FailureCode.NOT_FOUND, f"{candidate.id}: not every property was measured")
            else:
                wanted = {name: values[name] for name in self.properties}
                measured = final_crystal(stages, candidate.crystal)
                flags = all_flags(stages) + ((ANOTHER,) if self._by_another(stages) else ())
                stated = {name: u for name, u in last_uncertainties(stages).items() if name in wanted}
                source = f"{self.path.name} {candidate.id}"
                yield StartCrystal(measured, wanted, source, flags=flags, uncertainties=stated)

    def _by_another(self, stages: Sequence[StageOutcome]) -> bool:
        """Whether a value is of an oracle that would say something else of the crystal now, as far as versions tell."""
        versions = {
            name: stage.oracle_version
            for stage in stages
            if isinstance(stage.outcome, Measured) and stage.stage != GIVEN
            for name in stage.outcome.values
        }
        now = {name: version for name, (_, version) in self.sources.items() if name in self.properties}
        return any(version != now.get(name, version) for name, version in versions.items())


def build(params: Params, context: StartContext) -> OlderCampaign:
    """Raises ValueError where the folder holds no campaign this version can read, or one with another unit."""
    path = located(params.path, context.folder)
    try:
        with CampaignStore.open(path) as store:
            units = stated_units(store.spec)
    except LedgerError as error:
        raise ValueError(f"path: {error}") from error
    for name, (unit, _) in context.sources.items():
        if name in context.properties and units.get(name, unit) != unit:
            raise ValueError(f"path: {name} was measured in {units[name]!r} there, and is in {unit!r} here")
    return OlderCampaign(path, context.properties, context.sources)
