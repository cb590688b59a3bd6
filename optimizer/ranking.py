"""Which candidates are worth a look, in which order, and why.

Feasible candidates first, ordered by the objective; with two objectives by non-dominated layer and, inside a
layer, by the hypervolume lost without the candidate (`CampaignObjective.ranking`). Then the infeasible by
their total relative violation. A candidate that failed has no rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from campaigns.goals import Objective
from campaigns.records import Candidate, StageOutcome, all_flags, final_crystal, first_failure, last_values
from campaigns.store import CampaignStore
from optimizer.cif import SpaceGroup, as_read_back, space_group
from optimizer.known_formulas import known_formulas
from optimizer.objective import CampaignObjective
from optimizer.screening import screen

if TYPE_CHECKING:
    from optimizer.references import Novelty

AMBIGUOUS = "space_group_ambiguous"
FORMULA_KNOWN = "formula_known"  # a known material has this formula, in another structure or in one that is not to hand


@dataclass(frozen=True)
class Ranked:
    """One line of the list. `crystal` is the relaxed crystal as a reader of its CIF gets it."""

    rank: int  # from 1
    candidate: Candidate
    stages: tuple[StageOutcome, ...]
    crystal: Structure
    cif: str
    values: Mapping[str, float]
    feasible: bool
    space_group: SpaceGroup
    novelty: Novelty
    flags: tuple[str, ...]
    why: str

    @property
    def formula(self) -> str:
        """Reduced formula; NaN is written Na1N1, because readers of tables take it for a missing value."""
        formula = self.crystal.composition.reduced_formula
        return "Na1N1" if formula == "NaN" else formula

    @property
    def seconds(self) -> float:
        """Oracle seconds over all stages."""
        return sum(stage.outcome.seconds for stage in self.stages)


@dataclass(frozen=True)
class Ranking:
    """The list. `duplicates`, `known` and `outside` (the search space) count what was left out above the last rank."""

    entries: tuple[Ranked, ...]
    evaluated: int
    failed: int
    duplicates: int
    known: int
    outside: int


def rank_candidates(store: CampaignStore, novelty: Callable[[Structure], Novelty], top: int | None = None) -> Ranking:
    """The best `top` candidates of a campaign, `export.top` where absent: unique, inside its search
    space and, unless `export.known`, new.

    What a cascade measured is inside; a start with given values may bring crystals from elsewhere.

    Two candidates are the same where pymatgen's StructureMatcher with its default tolerances matches the
    relaxed crystals; the one that ranks higher stays.
    """
    spec, objective = store.spec, CampaignObjective.from_spec(store.spec)
    evaluated = list(store.evaluated())
    values = [None if first_failure(stages) else last_values(stages) for _, stages in evaluated]
    matcher = StructureMatcher()
    seen: dict[str, list[Structure]] = {}  # reduced formula -> crystals already met
    entries: list[Ranked] = []
    duplicates = known = outside = 0
    for index in objective.ranking(values):
        if len(entries) == (top or spec.export.top):
            break
        (candidate, stages), measured = evaluated[index], values[index] or {}
        cif, crystal = as_read_back(final_crystal(stages, candidate.crystal))
        alike = seen.setdefault(crystal.composition.reduced_formula, [])
        if any(matcher.fit(crystal, other) for other in alike):
            duplicates += 1
            continue
        alike.append(crystal)
        if screen(crystal, spec.space) is not None:
            outside += 1
            continue
        nearest = novelty(crystal)
        if not nearest.new and not spec.export.known:
            known += 1
            continue
        group = space_group(crystal)
        rank = len(entries) + 1
        standing = f"{_best(rank)} {'' if spec.export.known else 'new '}crystal of {len(evaluated)} evaluated"
        entries.append(
            Ranked(
                rank=rank,
                candidate=candidate,
                stages=stages,
                crystal=crystal,
                cif=cif,
                values=measured,
                feasible=objective.feasible(measured),
                space_group=group,
                novelty=nearest,
                flags=_flags(stages, crystal, nearest, group),
                why=_why(objective, measured, standing),
            )
        )
    failed = sum(entry is None for entry in values)
    return Ranking(tuple(entries), len(evaluated), failed, duplicates, known, outside)


def _flags(
    stages: tuple[StageOutcome, ...], crystal: Structure, nearest: Novelty, group: SpaceGroup
) -> tuple[str, ...]:
    """Every flag of every stage once, in the order they came, then those of the crystal as it is listed."""
    flags = list(all_flags(stages))
    if nearest.distance == 0 or crystal.composition.reduced_formula in known_formulas():
        flags.append(FORMULA_KNOWN)
    if group.ambiguous:
        flags.append(AMBIGUOUS)
    return tuple(dict.fromkeys(flags))


def _why(objective: CampaignObjective, values: Mapping[str, float], standing: str) -> str:
    """One readable sentence: what it reaches, where that stands, what it violates."""
    goals = " and ".join(_goal(name, goal, values[name]) for name, goal in objective.goals)
    if objective.feasible(values):
        order = ", by Pareto front and hypervolume" if len(objective.goals) > 1 else ""
        return f"feasible; {goals}; {standing}{order}"
    return f"infeasible, {_violations(objective, values)}; {goals}; {standing}"


def _goal(name: str, goal: Objective, value: float) -> str:
    if goal.target is None:
        return f"{name} {value:.4g}"
    return f"{name} {value:.4g}, {abs(value - goal.target):.3g} from the target {goal.target:.4g}"


def _violations(objective: CampaignObjective, values: Mapping[str, float]) -> str:
    found = []
    for name, bound in objective.bounds:
        if bound.min is not None and values[name] < bound.min:
            found.append(f"{name} {values[name]:.4g} is below {bound.min:.4g}")
        if bound.max is not None and values[name] > bound.max:
            found.append(f"{name} {values[name]:.4g} is above {bound.max:.4g}")
    return ", ".join(found)


def _best(rank: int) -> str:
    if rank == 1:
        return "best"
    suffix = "th" if rank % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{suffix} best"
