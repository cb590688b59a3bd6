"""What a report is made from: one reading of a ledger, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pymatgen.core import Structure

from campaigns.ledger import Event, GeneratorRecord, RoundRecord
from campaigns.records import Candidate, StageOutcome, final_crystal, first_failure, kept_out, last_values
from campaigns.spec import CampaignSpec
from campaigns.store import CampaignStore
from optimizer.cascade import GIVEN
from optimizer.objective import CampaignObjective, Values


@dataclass(frozen=True)
class Evaluated:
    """One evaluated candidate. `call` is how many calls were spent when it was done, itself included, counted in the
    order of proposal; `values` is None where it failed, `measured` is what it gave before that.
    """

    candidate: Candidate
    stages: tuple[StageOutcome, ...]
    crystal: Structure
    values: Values
    measured: Mapping[str, float]
    call: int

    @property
    def formula(self) -> str:
        return self.crystal.composition.reduced_formula

    @property
    def lacking(self) -> str:
        """Why a value is not there, in words."""
        return "kept out by a rule" if kept_out(self.stages) and not first_failure(self.stages) else "failed"

    @property
    def given(self) -> bool:
        """Its values came with the start and cost no call."""
        return self.stages[0].stage == GIVEN


@dataclass(frozen=True)
class Snapshot:
    """A ledger at one moment. `latents` maps candidate id to latent `[d]` under the generator now in use."""

    spec: CampaignSpec
    objective: CampaignObjective
    evaluated: tuple[Evaluated, ...]
    proposed: int
    rounds: tuple[RoundRecord, ...]
    events: tuple[Event, ...]
    generators: tuple[GeneratorRecord, ...]
    latents: Mapping[str, Sequence[float]]
    provenance: Mapping[str, str]
    dearest_stage: str
    driven_since: datetime | None  # by a process that may live
    taken_at: datetime

    @property
    def values(self) -> list[Values]:
        return [each.values for each in self.evaluated]


def take_snapshot(store: CampaignStore) -> Snapshot:
    """Read everything once. Beside a running campaign the outcomes are read first, so that each finds its candidate."""
    outcomes = store.outcomes()
    candidates = store.candidates()
    generators = tuple(store.generators())
    driver = store.driver
    return Snapshot(
        spec=store.spec,
        objective=CampaignObjective.from_spec(store.spec),
        evaluated=_evaluated(candidates, outcomes, store.dearest_stage),
        proposed=len(candidates),
        rounds=tuple(store.rounds()),
        events=tuple(store.events()),
        generators=generators,
        latents=_latents(store, candidates, generators),
        provenance=dict(store.provenance),
        dearest_stage=store.dearest_stage,
        driven_since=None if driver is None else _moment(driver.since),
        taken_at=datetime.now(UTC),
    )


def _evaluated(
    candidates: Sequence[Candidate], outcomes: Mapping[str, tuple[StageOutcome, ...]], dearest: str
) -> tuple[Evaluated, ...]:
    found, calls = [], 0
    for candidate in candidates:
        if not (stages := outcomes.get(candidate.id)):
            continue
        calls += any(stage.stage == dearest for stage in stages)
        measured = last_values(stages)
        values = None if first_failure(stages) else measured
        crystal = final_crystal(stages, candidate.crystal)
        found.append(Evaluated(candidate, stages, crystal, values, measured, calls))
    return tuple(found)


def _latents(
    store: CampaignStore, candidates: Sequence[Candidate], generators: Sequence[GeneratorRecord]
) -> dict[str, Sequence[float]]:
    """Those the ledger keeps under the last accepted generator, else the latent a candidate was decoded from by it."""
    accepted = [record.version for record in generators if record.accepted]
    if not accepted:
        return {}
    decoded = {c.id: c.z for c in candidates if c.z is not None and c.generator_version == accepted[-1]}
    return decoded | {name: latent.z for name, latent in store.latents(accepted[-1]).items()}


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def blocks(rounds: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Consecutive rounds in at most so many blocks of equal width, as (first, last)."""
    if not rounds:
        return []
    first, last = min(rounds), max(rounds)
    width = -(-(last - first + 1) // most)
    return [(low, min(low + width - 1, last)) for low in range(first, last + 1, width)]


def thinned(count: int, most: int, keep: Sequence[int] = ()) -> list[int]:
    """Indices of at most `most` of `count`, evenly spread, those of `keep` among them; ascending."""
    if count <= most:
        return list(range(count))
    wanted = set(keep[:most])
    spare = most - len(wanted)
    others = [index for index in range(count) if index not in wanted]
    wanted.update(others[k * len(others) // spare] for k in range(spare))
    return sorted(wanted)
