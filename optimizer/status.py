"""Where a campaign stands, read from its ledger alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from campaigns.ledger import Lease, RoundRecord
from campaigns.records import Candidate, Failed, Measured, StageOutcome, final_crystal, first_failure, last_values
from campaigns.spec import CampaignSpec
from campaigns.store import CampaignStore
from optimizer.narration import feasibility, last_proposal, proposal_figures, why
from optimizer.objective import CampaignObjective
from optimizer.oracles.external import external_place
from optimizer.round_calibration import calibration

LAST_EVENTS = 5
CLOCK = "clock"
"""Kind of the events whose data hold the hours spent driving since the last of them."""


STAGE_SPENT = "stage_budget_spent"
"""Kind of the event that ends a campaign whose objective needs a stage that has spent its own budget."""


def campaign_status(store: CampaignStore) -> dict[str, Any]:
    """A JSON-able summary: state, rounds, budget, stages, failures by code, best so far, last events."""
    spent, spec = store.spent(), store.spec
    outcomes, leases = store.outcomes(), store.leases()  # beside a run first, so that each finds its candidate
    candidates = store.candidates()
    driver = store.driver
    phases = store.rounds()
    events = store.events()
    failed = failures_by_stage(store, outcomes)
    budget_spent = spent.calls >= spec.budget.oracle_calls or any(e.kind == STAGE_SPENT for e in events)
    return {
        "campaign": spec.name,
        "folder": str(store.folder),
        "state": _state(driver is not None, budget_spent, external_place(spec) is not None),
        "driver": None if driver is None else {"pid": driver.pid, "host": driver.host, "since": driver.since},
        "rounds": len({phase.round for phase in phases}),
        "last_phase": None if not phases else f"{phases[-1].round}.{phases[-1].phase}",
        "candidates": {
            "proposed": len(candidates),
            "evaluated": len(outcomes),
            "pending": len(candidates) - len(outcomes),
            "handed_out": sum(each.handed_out_at is not None for each in store.awaited()),
        },
        "in_hand": _in_hand(leases, candidates),
        "search": _search(spec, outcomes, phases),
        "seconds_left": _seconds_left(store, candidates, outcomes, phases),
        "budget": {
            "dearest_stage": store.dearest_stage,
            "oracle_calls": spent.calls,
            "of": spec.budget.oracle_calls,
            "hours": round(hours_spent(store), 5),
            "hours_limit": spec.budget.hours,
            "oracle_seconds": round(spent.seconds, 3),
        },
        "stages": {
            stage: {
                "entered": count,
                "failed": spent.stage_failures[stage],
                "seconds": round(spent.stage_seconds[stage], 3),
            }
            for stage, count in spent.stage_counts.items()
        },
        "competing_phases": _competing(outcomes),
        "refinements": [
            {"round": phase.round, **{key: phase.figures.get(key) for key in ("accepted", "why", "generator")}}
            for phase in phases
            if phase.phase == "refine"
        ],
        "calibration": _calibrations(candidates, outcomes, phases),
        "failures": _over_stages(failed),
        "failures_by_stage": failed,
        "best": _best(spec, candidates, outcomes),
        "events": [
            {"at": event.at, "kind": event.kind, "message": event.message}
            for event in [event for event in events if event.kind != CLOCK][-LAST_EVENTS:]
        ],
    }


def _search(
    spec: CampaignSpec, outcomes: Mapping[str, Sequence[StageOutcome]], phases: Sequence[RoundRecord]
) -> dict[str, Any] | None:
    """The latest proposal and its reasons; None before the first."""
    if (record := last_proposal(phases)) is None:
        return None
    objective = CampaignObjective.from_spec(spec)
    values = [None if first_failure(stages) else last_values(stages) for stages in outcomes.values()]
    found, (feasible, measured) = proposal_figures(record), feasibility(values, objective)
    return {**found, "feasible": feasible, "measured": measured, "why": why(found, (feasible, measured))}


def _calibrations(
    candidates: Sequence[Candidate], outcomes: Mapping[str, Sequence[StageOutcome]], phases: Sequence[RoundRecord]
) -> list[dict[str, Any]]:
    """Of every finished round for which something was predicted; of what counts now, where a value was replaced."""
    members: dict[int, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        members[candidate.round].append(candidate)
    found = [
        (phase.round, calibration((each, outcomes.get(each.id, ())) for each in members[phase.round]))
        for phase in phases
        if phase.phase == "evaluate"
    ]
    return [{"round": round, **judged} for round, judged in found if judged]


def _seconds_left(
    store: CampaignStore,
    candidates: Sequence[Candidate],
    outcomes: Mapping[str, Sequence[StageOutcome]],
    phases: Sequence[RoundRecord],
) -> float | None:
    """Until the calls of the budget are spent, at the pace of the finished rounds; None before the first is, and where
    values come from outside: nobody here knows how long that takes."""
    if external_place(store.spec) is not None:
        return None
    finished = {phase.round for phase in phases if phase.phase == "evaluate"}
    dearest = store.dearest_stage
    entered = {c.id: c.round for c in candidates if any(s.stage == dearest for s in outcomes.get(c.id, ()))}
    timed, hours = sum(round in finished for round in entered.values()), hours_spent(store)
    if not timed or not hours:
        return None
    return round(hours * 3600 / timed * max(store.spec.budget.oracle_calls - len(entered), 0), 1)


def _competing(outcomes: Mapping[str, Sequence[StageOutcome]]) -> dict[str, int]:
    """Sets of elements for which phases were made for a hull, and the relaxations of these, outside the budget; what
    another campaign had made before is counted here too."""
    relaxations: dict[str, int] = {}
    for stages in outcomes.values():
        for stage in stages:
            if isinstance(stage.outcome, Measured):
                relaxations |= stage.outcome.details.get("competing_relaxations", {})
    return {"sets": len(relaxations), "relaxations": sum(relaxations.values())}


def _in_hand(leases: Sequence[Lease], candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """What is being evaluated now, by which process, since when, and when that gave its last sign of life."""
    crystals = {c.id: c.crystal for c in candidates}
    return [
        {
            "id": lease.candidate_id,
            "formula": crystals[lease.candidate_id].composition.reduced_formula,
            "since": lease.owner.since,
            "pid": lease.owner.pid,
            "host": lease.owner.host,
            "heartbeat_at": lease.heartbeat_at,
        }
        for lease in leases
    ]


def _state(driven: bool, budget_spent: bool, external: bool) -> str:
    if driven:
        return "running"
    if budget_spent:
        return "budget spent"
    return "waiting; `optimize tell` and `optimize ask` go on" if external else "stopped; `optimize run` goes on"


def hours_spent(store: CampaignStore) -> float:
    """Hours of driving over all sessions; what a killed one spent on its last round is not known."""
    return float(sum(event.data["hours"] for event in store.events() if event.kind == CLOCK))


def failures_by_stage(
    store: CampaignStore, outcomes: Mapping[str, Sequence[StageOutcome]] | None = None
) -> dict[str, dict[str, int]]:
    """Stage -> failure code -> count, most frequent first; "before any oracle" holds what was screened out.

    `outcomes` are the store's where they were read already: thousands take seconds.
    """
    counts: dict[str, Counter[str]] = {}
    for phase in store.rounds():
        counts.setdefault("before any oracle", Counter()).update(phase.failures)
    for stages in (store.outcomes() if outcomes is None else outcomes).values():
        for stage in stages:
            if isinstance(stage.outcome, Failed):
                counts.setdefault(stage.stage, Counter())[stage.outcome.code.value] += 1
    return {stage: dict(codes.most_common()) for stage, codes in counts.items() if codes}


def failures_in_words(by_stage: Mapping[str, Mapping[str, int]]) -> str:
    """What `failures_by_stage` returned, on one line; empty where nothing failed."""
    return "; ".join(
        f"{stage}: " + ", ".join(f"{code} {count}" for code, count in codes.items())
        for stage, codes in by_stage.items()
    )


def _over_stages(by_stage: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Failure code -> count, over proposals that were screened out and evaluations that failed."""
    total: Counter[str] = Counter()
    for codes in by_stage.values():
        total.update(codes)
    return dict(total.most_common())


def _best(
    spec: CampaignSpec, candidates: Sequence[Candidate], outcomes: Mapping[str, Sequence[StageOutcome]]
) -> dict[str, Any] | None:
    """The best feasible candidate so far, known materials included."""
    evaluated = [candidate for candidate in candidates if candidate.id in outcomes]
    stages = [outcomes[candidate.id] for candidate in evaluated]
    values = [None if first_failure(each) else last_values(each) for each in stages]
    index = CampaignObjective.from_spec(spec).best(values)
    if index is None:
        return None
    crystal = final_crystal(stages[index], evaluated[index].crystal)
    return {
        "id": evaluated[index].id,
        "formula": crystal.composition.reduced_formula,
        "round": evaluated[index].round,
        "arm": evaluated[index].arm,
        "values": values[index],
    }
