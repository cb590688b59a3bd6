"""The ranked candidates as a person reads them: values beside goals and bounds, and why each stands where it does."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from campaigns.records import Measured
from campaigns.spec import CampaignSpec
from optimizer.export import ENERGY, candidate_file
from optimizer.objective import CampaignObjective
from optimizer.ranking import Ranked, Ranking
from optimizer.report.scene import scene
from optimizer.report.wording import FLAGS, count, number, title_of, unit_of
from optimizer.stated_units import stated_units
from optimizer.verification import HULL, Verification

MOST_SCENES = 60
DOUBT = frozenset(
    {
        *("hull_sparse", "potentials_disagree", "verification_failed", "suspicious_modulus", "out_of_domain"),
        *("far_below_hull", "dynamically_unstable", "elastic_misfit", "stressed", "few_neighbours"),
    }
)
"""Flags that speak against a value; the others are information."""


@dataclass(frozen=True)
class Column:
    """A property of the table: what it is called, its unit, and what was asked of it."""

    name: str
    title: str
    unit: str
    asked: str  # "maximize", "at most 0.1", "" where it was only measured


@dataclass(frozen=True)
class Second:
    """What a second potential says: its value, and how far it is from the first's."""

    name: str
    title: str
    unit: str
    value: float
    difference: float | None


@dataclass(frozen=True)
class Card:
    """One ranked candidate. `values` go by column; `flags` are pairs (word, meaning), `doubts` those against it;
    `scene` is for the viewer, None beyond MOST_SCENES; `cif` is a data URI.
    """

    rank: int
    id: str
    formula: str
    space_group: str
    space_group_number: int
    n_atoms: int
    values: tuple[float | None, ...]
    feasible: bool
    new: bool
    nearest: str
    why: tuple[str, ...]
    flags: tuple[tuple[str, str], ...]
    doubts: tuple[tuple[str, str], ...]
    hull: str
    second: tuple[Second, ...]
    second_by: str
    second_failure: str
    origin: str
    scene: Mapping[str, Any] | None
    cif: str
    file: str


def columns(spec: CampaignSpec, ranking: Ranking) -> tuple[Column, ...]:
    """Objectives, constraints, then everything else that was measured of what is ranked."""
    stated = stated_units(spec)
    measured = (name for entry in ranking.entries for name in entry.values)
    names = dict.fromkeys([*spec.objectives, *spec.constraints, *measured])
    return tuple(Column(name, title_of(name), unit_of(name, stated), _asked(spec, name)) for name in names)


def _asked(spec: CampaignSpec, name: str) -> str:
    said = []
    if goal := spec.objectives.get(name):
        said.append(goal.goal if goal.target is None else f"target {number(goal.target)}")
    if bound := spec.constraints.get(name):
        said += [f"at least {number(bound.min)}"] if bound.min is not None else []
        said += [f"at most {number(bound.max)}"] if bound.max is not None else []
    return ", ".join(said)


def cards(
    spec: CampaignSpec, ranking: Ranking, verified: Mapping[str, Verification], shown: Sequence[Column]
) -> tuple[Card, ...]:
    """In the order of rank."""
    objective = CampaignObjective.from_spec(spec)
    return tuple(_card(entry, ranking.entries, objective, verified, shown) for entry in ranking.entries)


def _card(
    entry: Ranked,
    entries: Sequence[Ranked],
    objective: CampaignObjective,
    verified: Mapping[str, Verification],
    shown: Sequence[Column],
) -> Card:
    second = verified.get(entry.candidate.id)
    flags = dict.fromkeys([*entry.flags, *(second.flags(dict(entry.values)) if second else ())])
    explained = [(flag, FLAGS.get(flag, "")) for flag in flags]
    return Card(
        rank=entry.rank,
        id=entry.candidate.id,
        formula=entry.formula,
        space_group=entry.space_group.symbol,
        space_group_number=entry.space_group.number,
        n_atoms=len(entry.crystal),
        values=tuple(entry.values.get(column.name) for column in shown),
        feasible=entry.feasible,
        new=entry.novelty.new,
        nearest=_nearest(entry),
        why=_why(entry, entries, objective, {column.name: column for column in shown}),
        flags=tuple(each for each in explained if each[0] not in DOUBT),
        doubts=tuple(each for each in explained if each[0] in DOUBT),
        hull=_hull(entry),
        second=_second(entry, second, shown),
        second_by="" if second is None else second.potential,
        second_failure="" if second is None else second.failure,
        origin=_origin(entry),
        scene=scene(entry.crystal) if entry.rank <= MOST_SCENES else None,
        cif="data:chemical/x-cif;base64," + base64.b64encode(entry.cif.encode()).decode(),
        file=candidate_file(entry).rpartition("/")[2],
    )


def _nearest(entry: Ranked) -> str:
    near = entry.novelty
    if not near.nearest:
        return "nothing known to compare with"
    found = f"{near.nearest}, by {near.basis}"
    by_composition = near.basis == "composition" and near.distance
    return f"{found}, {near.distance:.2g} places apart in Pettifor's order" if by_composition else found


def _why(
    entry: Ranked, entries: Sequence[Ranked], objective: CampaignObjective, shown: Mapping[str, Column]
) -> tuple[str, ...]:
    """The list's own sentence in words, the margin to its neighbours, and what was expected of it."""
    first = entry.why
    for name in sorted(objective.properties, key=len, reverse=True):
        column = shown[name]
        first = first.replace(name, column.title)
    first = re.sub(r"(?<!\w)-(?=\d)", "−", first)
    said = [f"{first[:1].upper()}{first[1:]}."]
    if entry.feasible:
        said.append(
            _margin(entry, entries, objective, shown)
            if len(objective.goals) == 1
            else _rivals(entry, entries, objective)
        )
    for name, _ in objective.goals:
        mean, sd = entry.candidate.predicted.get(name, (0.0, 0.0))
        if sd > 0 and name in entry.values:
            off = (entry.values[name] - mean) / sd
            unit = f" {shown[name].unit}".rstrip()
            where = f"{abs(off):.1f} standard deviations {'above' if off > 0 else 'below'} that"
            said.append(
                f"Before it was measured, {shown[name].title} {number(mean)} ± {number(sd, 2)}{unit} was expected; "
                f"it came out {where if abs(off) >= 0.05 else 'there'}."
            )
    return tuple(each for each in said if each)


def _margin(entry: Ranked, entries: Sequence[Ranked], objective: CampaignObjective, shown: Mapping[str, Column]) -> str:
    """How far the one goal is from that of the neighbour in the list."""
    other = next((each for each in entries if each.rank == (2 if entry.rank == 1 else 1)), None)
    if other is None or not other.feasible:
        return "" if other is None or entry.rank > 1 else "No other crystal in the list keeps every bound."
    ((name, goal),) = objective.goals
    unit = f" {shown[name].unit}".rstrip()
    gap = abs(objective.score(entry.values)[0] - objective.score(other.values)[0])
    if gap == 0:
        return f"Level with rank {other.rank}."
    first = entry.rank == 1
    if goal.target is not None:
        return f"{number(gap, 3)}{unit} {'closer to' if first else 'farther from'} the target than rank {other.rank}."
    return f"{number(gap, 3)}{unit} {'ahead of' if first else 'behind'} rank {other.rank}."


def _rivals(entry: Ranked, entries: Sequence[Ranked], objective: CampaignObjective) -> str:
    """With two goals: who is better in one and no worse in the other."""
    mine = objective.score(entry.values)
    over = [
        each.rank
        for each in entries
        if each.feasible and each.rank != entry.rank and _dominates(objective.score(each.values), mine)
    ]
    if not over:
        return "On the Pareto front: nothing in the list is better in one goal and no worse in the other."
    some = ", ".join(map(str, over[:3])) + (" and others" if len(over) > 3 else "")
    return f"Behind the Pareto front: rank{'s' if len(over) > 1 else ''} {some} beat it."


def _dominates(left: Sequence[float], right: Sequence[float]) -> bool:
    from optimizer.pareto import dominates

    return dominates(tuple(left), tuple(right))


def _hull(entry: Ranked) -> str:
    """What its distance to the hull rests on."""
    for stage in entry.stages:
        outcome = stage.outcome
        if isinstance(outcome, Measured) and HULL in outcome.values and "n_known_phases" in outcome.details:
            details = outcome.details
            made = details.get("n_competing_phases", 0)
            rests = f"rests on {count(details['n_known_phases'], 'known compound')} and {count(made, 'made one')}"
            lacking = f"; nothing known of {', '.join(details['sparse_edges'])}" if details.get("sparse_edges") else ""
            into = (
                f"; would decompose into {' + '.join(details['decomposes_to'])}" if details.get("decomposes_to") else ""
            )
            return f"{rests}{lacking}{into}"
    return ""


def _second(entry: Ranked, second: Verification | None, shown: Sequence[Column]) -> tuple[Second, ...]:
    if second is None or second.failure:
        return ()
    units = {column.name: column.unit for column in shown}
    return tuple(
        Second(
            name,
            title_of(name),
            units.get(name, unit_of(name, {})),
            value,
            value - entry.values[name] if name in entry.values else None,
        )
        for name, value in second.values.items()
        if name != ENERGY
    )


def _origin(entry: Ranked) -> str:
    candidate = entry.candidate
    parent = f", from {candidate.parent}" if candidate.parent else ""
    when = "in the start" if candidate.round == 0 else f"in round {candidate.round}"
    return f"{candidate.id}, proposed {when} by {candidate.arm}{parent}; generator {candidate.generator_version}"
