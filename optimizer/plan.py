"""What a campaign will do and cost, before it spends anything."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Literal

from pymatgen.core import Composition

from campaigns.places import LEDGER, holds_ledger
from campaigns.postgresql import campaign_in, schema_of
from campaigns.search_space import SearchSpace
from campaigns.spec import CampaignSpec, OracleSpec, Refinement
from campaigns.store import CampaignStore
from campaigns.user_cache import cache_folder
from generative.grammar import Grammar
from optimizer.admission import in_words
from optimizer.build import Parts
from optimizer.candidate_list import CandidateList
from optimizer.costs import Costs, estimated_costs
from optimizer.durations import duration
from optimizer.references import ReferenceTable

CALL_KB = 25  # of ledger and cache for one candidate of the quickstart


def plan(parts: Parts, run_folder: Path, *, measure: bool = False) -> list[tuple[str, str]]:
    """`(what, in words)` per line: search space, generator, oracles, time, places. `measure`: see `estimated_costs`."""
    spec, cascade = parts.spec, parts.cascade
    costs = estimated_costs(parts, run_folder, measure=measure)
    limit = f", {spec.budget.hours:g} hours at most" if spec.budget.hours else ""
    return [
        ("campaign", f"{spec.name}, seed {spec.seed}"),
        ("search space", _space_in_words(spec.space)),
        ("known there", _known_in_words(spec.space, parts.references)),
        ("generator", f"{parts.generator.version}, {parts.generator.latent_dim} latent dimensions"),
        *([("candidates", _list_in_words(parts, parts.listed))] if parts.listed is not None else []),
        ("start", ", ".join(kind for kind, _ in parts.starts)),
        *_oracles_in_words(parts, costs),
        *((stage.name, note) for stage in cascade.stages for note in getattr(stage.oracle, "notes", ())),
        ("goal", _goal_in_words(parts)),
        ("budget", f"{spec.budget.oracle_calls} calls of {cascade.dearest} {_pace_in_words(spec)}{limit}"),
        ("time", _time_in_words(parts, costs, _calls_spent(run_folder))),
        *([("outside", _outside_in_words(parts))] if parts.external is not None else []),
        *_places(parts, run_folder),
    ]


def _pace_in_words(spec: CampaignSpec) -> str:
    return "one by one" if spec.schedule == "async" else f"in batches of {spec.batch_size}"


def known_inside(space: SearchSpace, references: ReferenceTable) -> int:
    """Known materials that lie in `space` by elements, formula, space group and the atoms of one formula unit.

    The table holds neither cells nor distances: a cell may hold several formula units, so this is an upper bound.
    """
    wanted = None if space.formula is None else Composition(space.formula).reduced_formula
    count = 0
    for formula, group in zip(references.formulas, references.space_groups, strict=True):
        if space.space_groups is not None and int(group) not in space.space_groups:
            continue
        amounts = Composition(formula).get_el_amt_dict()
        elements = set(amounts)
        count += (
            elements <= space.elements.allowed
            and elements >= space.elements.required
            and len(elements) in space.n_elements
            and sum(amounts.values()) <= space.n_atoms.high
            and wanted in (None, formula)
        )
    return count


def _space_in_words(space: SearchSpace) -> str:
    required = f", {', '.join(sorted(space.elements.required))} required" if space.elements.required else ""
    parts = [
        f"{len(space.elements.allowed)} elements{required}",
        f"{_range(space.n_elements.low, space.n_elements.high)} of them in a crystal",
        f"{_range(space.n_atoms.low, space.n_atoms.high)} atoms in the primitive cell",
        f"{int(Grammar(space).group_mask().sum())} space groups",
        f"no two atoms closer than {space.min_distance_ang:g} angstrom",
    ]
    parts += [f"formula {space.formula}"] if space.formula else []
    parts += ["charge neutral"] if space.charge_neutral else []
    return "; ".join(parts)


def _known_in_words(space: SearchSpace, references: ReferenceTable) -> str:
    return (
        f"{known_inside(space, references)} of {len(references)} known materials, as far as formulas and "
        "space groups tell; they are not proposed"
    )


def _list_in_words(parts: Parts, listed: CandidateList) -> str:
    kept, refused = listed.screened(
        parts.base, parts.spec.space, parts.references, allow_known=parts.spec.propose_known
    )
    passed = f" (passed over: {in_words(refused)})" if refused else ""
    return f"{len(kept)} of a list{', nothing else' if parts.spec.only_listed else ', beside what is decoded'}{passed}"


def _gate_in_words(oracle: OracleSpec) -> str:
    found = [f"at most {oracle.max_calls} calls"] if oracle.max_calls is not None else []
    for name, rule in oracle.only_if.items():
        if rule.min is not None:
            found.append(f"only if {name} >= {rule.min:g}")
        if rule.max is not None:
            found.append(f"only if {name} <= {rule.max:g}")
        if share := rule.highest or rule.lowest:
            found.append(f"only the {'highest' if rule.highest else 'lowest'} {share:.0%} by {name}")
    return "".join(f", {each}" for each in found)


def _goal_in_words(parts: Parts) -> str:
    goals = [
        f"{name} near {goal.target:g}" if goal.target is not None else f"{goal.goal} {name}"
        for name, goal in parts.objective.goals
    ]
    bounds = [
        f"{name} {sign} {limit:g}"
        for name, bound in parts.objective.bounds
        for sign, limit in ((">=", bound.min), ("<=", bound.max))
        if limit is not None
    ]
    return " and ".join(goals) + (f", where {' and '.join(bounds)}" if bounds else "")


def _outside_in_words(parts: Parts) -> str:
    oracle = parts.cascade.stages[-1].oracle
    wanted = ", ".join(f"{prop.name} [{prop.unit}]" for prop in oracle.properties)
    return f"{wanted}: `optimize ask` hands out, `optimize tell` takes back"


def _oracles_in_words(parts: Parts, costs: Costs) -> list[tuple[str, str]]:
    """One line for each oracle in the order of the cascade: its cost, whether it is budgeted, who may enter."""
    lines = []
    for place, (stage, given) in enumerate(zip(parts.cascade.stages, parts.spec.oracles, strict=True)):
        cost = costs.stages[stage.name]
        budgeted = ", budgeted" if stage.name == parts.cascade.dearest else ""
        words = f"{stage.name}: {duration(cost.seconds)} a crystal ({cost.source}){budgeted}{_gate_in_words(given)}"
        lines.append(("oracles" if place == 0 else "", words))
    for first, later, prop, _ in parts.cascade.measured_again():
        lines.append(("", f"{prop.name} of {first} is replaced by that of {later} wherever that is entered"))
    return lines


def _time_in_words(parts: Parts, costs: Costs, spent: int) -> str:
    """How long what is left takes: every call through every oracle here that it may enter, and the search."""
    spec, workers = parts.spec, parts.workers.count
    calls = max(spec.budget.oracle_calls - spent, 0)
    seconds = 0.0
    for stage, given in zip(parts.cascade.stages, spec.oracles, strict=True):
        if not getattr(stage.oracle, "external", False):
            seconds += costs.stages[stage.name].seconds * min(calls, given.max_calls or calls)
    limit = f"; it stops after {spec.budget.hours:g} hours" if spec.budget.hours else ""
    if spec.schedule == "async" and workers > 1:
        return (
            f"about {duration(seconds / workers)} in oracles with {workers} workers, who do not wait for the search: "
            f"{duration(costs.proposal.seconds)} a proposal ({costs.proposal.source}){limit}"
        )
    batch = 1 if spec.schedule == "async" else spec.batch_size
    seconds /= min(workers, batch)
    rounds = ceil(calls / batch)
    searching = rounds * costs.proposal.seconds
    retraining, told = _retraining(spec.refine, rounds, costs)
    return (
        f"about {duration(seconds + searching + retraining)}: {duration(seconds)} in oracles with {workers} workers, "
        f"{duration(searching)} searching in {rounds} rounds ({costs.proposal.source}){told}{limit}"
    )


def _retraining(refine: Refinement | Literal["off"], rounds: int, costs: Costs) -> tuple[float, str]:
    """Seconds in all, and what to say: none after the start, none after the last round."""
    if not isinstance(refine, Refinement):
        return 0.0, ""
    each = f"{duration(costs.refinement.seconds)} each ({costs.refinement.source})"
    if refine.every is None:
        return 0.0, f"; retraining the generator comes on top, {each}"
    times = max(rounds - 2, 0) // refine.every
    often = "once" if times == 1 else f"{times} times"
    return times * costs.refinement.seconds, f", retraining the generator {often}, {each}" if times else ""


def _calls_spent(run_folder: Path) -> int:
    if not holds_ledger(run_folder):
        return 0
    with CampaignStore.open(run_folder) as store:
        return store.spent().calls


def _places(parts: Parts, run_folder: Path) -> list[tuple[str, str]]:
    """What will be written, and where."""
    place = run_folder / LEDGER if parts.spec.ledger is None else _database(parts.spec.ledger, parts.spec.name)
    ledger = f"{place}: everything measured, as it comes in"
    if spent := _calls_spent(run_folder):
        ledger += f"; goes on after {spent} calls"
    cache = parts.folder / parts.spec.cache if parts.spec.cache else run_folder / "cache"
    size = CALL_KB * parts.spec.budget.oracle_calls / 1000
    lines = [
        ("writes", f"{ledger} (about {max(size, 1):.0f} MB with the cache)"),
        ("", f"{cache}: answers of oracles, so that none is computed twice"),
        ("", f"{run_folder / 'export'}: the list, at the end and whenever `optimize export` is run"),
    ]
    competing = [stage for stage in parts.cascade.stages if getattr(stage.oracle, "formulas", 0)]
    return lines + ([("", f"{cache_folder()}: competing phases, for every campaign")] if competing else [])


def _database(address: str, name: str) -> str:
    """Raises LedgerError where the campaign could not be kept there."""
    there = campaign_in(address, name)
    return f"{address}, schema {schema_of(name)}{', which is there' if there else ''}"


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"
