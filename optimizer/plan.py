"""What a campaign will do and cost, before it spends anything."""

from __future__ import annotations

from pathlib import Path

from pymatgen.core import Composition

from campaigns.spec import OracleSpec, SearchSpace
from campaigns.store import LEDGER, CampaignStore
from generative.grammar import Grammar
from optimizer.build import Parts
from optimizer.references import ReferenceTable


def plan(parts: Parts, run_folder: Path) -> list[tuple[str, str]]:
    """`(what, in words)` per line: search space, generator, oracles, time, places."""
    spec, cascade = parts.spec, parts.cascade
    calls, workers = spec.budget.oracle_calls, parts.workers.count
    here = [stage.oracle.nominal_seconds for stage in cascade.stages if not getattr(stage.oracle, "external", False)]
    minutes = calls * sum(here) / min(workers, spec.batch_size) / 60
    stages = [
        f"{stage.name} ({stage.oracle.nominal_seconds:g} s{', budgeted' if stage.name == cascade.dearest else ''}"
        f"{_gate_in_words(given)})"
        for stage, given in zip(cascade.stages, spec.oracles, strict=True)
    ]
    limit = f", {spec.budget.hours:g} hours at most" if spec.budget.hours else ""
    return [
        ("campaign", f"{spec.name}, seed {spec.seed}"),
        ("search space", _space_in_words(spec.space)),
        ("known there", _known_in_words(spec.space, parts.references)),
        ("generator", f"{parts.generator.version}, {parts.generator.latent_dim} latent dimensions"),
        ("start", ", ".join(kind for kind, _ in parts.starts)),
        ("oracles", " -> ".join(stages)),
        *((stage.name, note) for stage in cascade.stages for note in getattr(stage.oracle, "notes", ())),
        ("goal", _goal_in_words(parts)),
        ("budget", f"{calls} calls of {cascade.dearest} in batches of {spec.batch_size}{limit}"),
        ("time", f"about {minutes:.0f} min in oracles with {workers} workers; searching and failures come on top"),
        *([("outside", _outside_in_words(parts))] if parts.external is not None else []),
        ("writes", _places(run_folder)),
    ]


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


def _places(run_folder: Path) -> str:
    place = f"{run_folder / LEDGER} and, at the end, the list in {run_folder / 'export'}"
    if not (run_folder / LEDGER).is_file():
        return place
    with CampaignStore.open(run_folder) as store:
        return f"{place}; goes on after {store.spent().calls} calls"


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"
