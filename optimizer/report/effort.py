"""Where a campaign's time went, what failed in it and why, and what each arm of the search brought."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter

from campaigns.records import NO_FAILURE, Failed, FailureCode
from optimizer.portfolio import BEST_SHARE
from optimizer.report.snapshot import Snapshot
from optimizer.status import CLOCK

Interval = tuple[datetime, datetime]


@dataclass(frozen=True)
class StageCost:
    """Oracle seconds of one stage, over all processes; what it took on average and at most."""

    stage: str
    entered: int
    failed: int
    seconds: float
    longest: float


@dataclass(frozen=True)
class Reason:
    """How many candidates a stage turned down for one reason; `example` is what it said of the last of them."""

    stage: str
    code: FailureCode
    count: int
    example: str

    @property
    def failure(self) -> bool:
        return self.code not in NO_FAILURE


@dataclass(frozen=True)
class Arm:
    """What one arm brought: candidates proposed, evaluated, failed, now among the best quarter, and ranked."""

    name: str
    evaluated: int
    failed: int
    best_quarter: int
    ranked: int
    best: float | None  # of the first goal, feasible


@dataclass(frozen=True)
class Arms:
    """`shares` of the pool and `earned`, the evaluated of an arm that now are among the best quarter, by round."""

    arms: tuple[Arm, ...]
    shares: Mapping[str, tuple[tuple[int, float], ...]]
    earned: Mapping[str, tuple[tuple[int, int], ...]]


def stage_costs(snapshot: Snapshot) -> tuple[StageCost, ...]:
    """In the order in which candidates meet the stages; rules that kept them out cost nothing and are left out."""
    seconds: dict[str, list[float]] = {}
    failed: Counter[str] = Counter()
    for each in snapshot.evaluated:
        for stage in each.stages:
            if isinstance(stage.outcome, Failed) and stage.outcome.code in NO_FAILURE:
                continue
            seconds.setdefault(stage.stage, []).append(stage.outcome.seconds)
            failed[stage.stage] += isinstance(stage.outcome, Failed)
    return tuple(StageCost(name, len(all_), failed[name], sum(all_), max(all_)) for name, all_ in seconds.items())


def phase_seconds(snapshot: Snapshot) -> dict[str, float]:
    """Phase -> wall-clock seconds of driving, over all rounds, in the order in which they first ended.

    A phase lasts from the end of the one before it; only time in which a process is known to have driven counts, so a
    night between two sessions does not. The ledger keeps whole seconds.
    """
    driven, spent = _driven(snapshot), dict[str, float]()
    begins, ends = ([session[side] for session in driven] for side in (0, 1))  # one after the other
    since: datetime | None = None
    for record in snapshot.rounds:
        until = datetime.fromisoformat(record.finished_at)
        begin = since or (driven[0][0] if driven else until)
        inside = driven[bisect_left(ends, begin) : bisect_left(begins, until)]
        passed = sum(_overlap((begin, until), each) for each in inside)
        own = min(passed, float(record.figures.get("seconds", passed)))  # a proposal beside the oracles says how long
        spent[record.phase] = spent.get(record.phase, 0.0) + own
        if own < passed:
            spent["evaluate"] = spent.get("evaluate", 0.0) + passed - own
        since = until
    return spent


def _driven(snapshot: Snapshot) -> list[Interval]:
    """When a process drove: the clock's events say how long each lasted; a process that drives now does since then."""
    found = []
    for event in snapshot.events:
        if event.kind == CLOCK:
            until = datetime.fromisoformat(event.at)
            found.append((until - timedelta(hours=float(event.data["hours"])), until))
    if snapshot.driven_since is not None:
        begin = max([snapshot.driven_since, *(until for _, until in found)])
        found.append((begin, snapshot.taken_at))
    return sorted(found, key=itemgetter(1))


def _overlap(one: Interval, other: Interval) -> float:
    return max(0.0, (min(one[1], other[1]) - max(one[0], other[0])).total_seconds())


def reasons(snapshot: Snapshot, by_stage: Mapping[str, Mapping[str, int]]) -> tuple[Reason, ...]:
    """Of what `failures_by_stage` counted, with an example of what the ledger has in words."""
    said: dict[tuple[str, str], str] = {}
    for each in snapshot.evaluated:
        for stage in each.stages:
            if isinstance(stage.outcome, Failed):
                said[stage.stage, stage.outcome.code.value] = f"{each.formula}: {stage.outcome.message}"
    return tuple(
        Reason(stage, FailureCode(code), count, said.get((stage, code), ""))
        for stage, codes in by_stage.items()
        for code, count in codes.items()
    )


def arms(snapshot: Snapshot, ranked: Sequence[str]) -> Arms:
    """Every arm that proposed something, the start's included; `ranked` are the ids in the list."""
    objective, evaluated = snapshot.objective, snapshot.evaluated
    order = objective.ranking(snapshot.values)[: math.ceil(BEST_SHARE * len(evaluated))]
    best = {evaluated[i].candidate.id for i in order if objective.feasible(evaluated[i].values)}
    listed = set(ranked)
    found = []
    for name in dict.fromkeys(each.candidate.arm for each in evaluated):
        own = [each for each in evaluated if each.candidate.arm == name]
        feasible = [each.values for each in own if objective.feasible(each.values)]
        top = max(feasible, key=lambda values: objective.score(values or {}), default=None)
        found.append(
            Arm(
                name=name,
                evaluated=len(own),
                failed=sum(each.values is None for each in own),
                best_quarter=sum(each.candidate.id in best for each in own),
                ranked=sum(each.candidate.id in listed for each in own),
                best=None if top is None else top[objective.goals[0][0]],
            )
        )
    return Arms(tuple(found), _shares(snapshot), _earned(snapshot, best))


def _shares(snapshot: Snapshot) -> dict[str, tuple[tuple[int, float], ...]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for record in snapshot.rounds:
        for name, share in (record.figures.get("pool", {}).get("shares") or {}).items():
            found.setdefault(str(name), []).append((record.round, float(share)))
    return {name: tuple(each) for name, each in found.items()}


def _earned(snapshot: Snapshot, best: set[str]) -> dict[str, tuple[tuple[int, int], ...]]:
    searched = [each for each in snapshot.evaluated if each.candidate.round > 0]
    rounds = sorted({each.candidate.round for each in searched})
    found = {}
    for name in dict.fromkeys(each.candidate.arm for each in searched):
        own = Counter(
            each.candidate.round for each in searched if each.candidate.arm == name and each.candidate.id in best
        )
        total, steps = 0, []
        for number in rounds:
            total += own[number]
            steps.append((number, total))
        found[name] = tuple(steps)
    return found
