"""Begin with what an older campaign measured: its run folder is read, and nothing in it costs a call again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from campaigns.errors import LedgerError
from campaigns.records import FailureCode, all_flags, final_crystal, first_failure, last_values
from campaigns.search_space import SearchSpace
from campaigns.spec import Strict
from campaigns.store import CampaignStore
from generative.protocols import DecodeFailure, Generator
from optimizer.crystal_files import located
from optimizer.protocols import StartContext, StartCrystal


class Params(Strict):
    """Which campaign."""

    path: str = Field(description="Run folder of the older campaign, relative to the campaign file.")


@dataclass(frozen=True)
class OlderCampaign:
    path: Path
    properties: tuple[str, ...]
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
                yield StartCrystal(measured, wanted, f"{self.path.name} {candidate.id}", flags=all_flags(stages))


def build(params: Params, context: StartContext) -> OlderCampaign:
    """Raises ValueError where the folder holds no campaign this version can read."""
    path = located(params.path, context.folder)
    try:
        CampaignStore.open(path).close()
    except LedgerError as error:
        raise ValueError(f"path: {error}") from error
    return OlderCampaign(path, context.properties)
