"""How the best of a campaign grew with its calls, beside the best of its start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.objective import CampaignObjective
from optimizer.pareto import Point, dominates, hypervolume, reference_point
from optimizer.report.snapshot import Evaluated, Snapshot

START_ROUND = 0


@dataclass(frozen=True)
class Measurement:
    """One evaluated candidate on the way; `value` is its goal's where there is one goal, None where it failed."""

    call: int
    formula: str
    value: float | None
    feasible: bool
    start: bool
    lacking: str  # why there is no value, in words


@dataclass(frozen=True)
class Convergence:
    """`best` are the steps (call, best so far): the goal's value, or with two goals the hypervolume above the reference
    of the whole campaign, as a share of what it reached. `start_calls` were spent on the start, whose best is `start`.
    """

    goals: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    best: tuple[tuple[int, float], ...]
    start: float | None
    start_calls: int
    calls: int
    target: float | None


def convergence(snapshot: Snapshot) -> Convergence:
    objective, evaluated = snapshot.objective, snapshot.evaluated
    goals = tuple(name for name, _ in objective.goals)
    single = len(goals) == 1
    begun = [each for each in evaluated if each.candidate.round == START_ROUND]
    steps = _best_value(evaluated, objective) if single else _front_growth(evaluated, objective)
    start_ids = {each.candidate.id for each in begun}
    of_start = [value for (name, _, value) in steps if name in start_ids]
    return Convergence(
        goals=goals,
        measurements=tuple(
            Measurement(
                call=each.call,
                formula=each.formula,
                value=(each.values or {}).get(goals[0]) if single else None,
                feasible=objective.feasible(each.values),
                start=each.candidate.round == START_ROUND,
                lacking=each.lacking,
            )
            for each in evaluated
        ),
        best=tuple((call, value) for _, call, value in steps),
        start=of_start[-1] if of_start else None,
        start_calls=max([each.call for each in begun], default=0),
        calls=max([each.call for each in evaluated], default=0),
        target=objective.goals[0][1].target if single else None,
    )


def _best_value(evaluated: Sequence[Evaluated], objective: CampaignObjective) -> list[tuple[str, int, float]]:
    """Where the best feasible value of the one goal changed: (candidate, call, value)."""
    ((name, _),) = objective.goals
    best: tuple[float, ...] | None = None
    steps = []
    for each in evaluated:
        if each.values is not None and objective.feasible(each.values):
            score = objective.score(each.values)
            if best is None or score > best:
                best = score
                steps.append((each.candidate.id, each.call, each.values[name]))
    return steps


def _front_growth(evaluated: Sequence[Evaluated], objective: CampaignObjective) -> list[tuple[str, int, float]]:
    """Where the Pareto front grew: (candidate, call, share of the hypervolume that the whole campaign reached)."""
    fronts = _fronts(evaluated, objective)
    if not fronts:
        return []
    _, last = fronts[-1]
    reference = reference_point(last)
    whole = hypervolume(last, reference) or 1.0
    return [(each.candidate.id, each.call, hypervolume(points, reference) / whole) for each, points in fronts]


def _fronts(evaluated: Sequence[Evaluated], objective: CampaignObjective) -> list[tuple[Evaluated, list[Point]]]:
    """Every candidate that joined the front of what came before it, and the front with it."""
    found: list[tuple[Evaluated, list[Point]]] = []
    front: list[Point] = []
    for each in evaluated:
        if each.values is None or not objective.feasible(each.values):
            continue
        score = objective.score(each.values)
        if score not in front and not any(dominates(other, score) for other in front):
            front = [*(other for other in front if not dominates(score, other)), score]
            found.append((each, front))
    return found


def pareto_front(evaluated: Sequence[Evaluated], objective: CampaignObjective) -> frozenset[str]:
    """Ids of the feasible candidates that no other dominates, like `CampaignObjective.front`, in time for thousands."""
    fronts = _fronts(evaluated, objective)
    last = fronts[-1][1] if fronts else []
    return frozenset(
        each.candidate.id
        for each in evaluated
        if each.values is not None and objective.feasible(each.values) and objective.score(each.values) in last
    )
