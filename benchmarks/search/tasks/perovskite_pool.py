"""Perovskites for splitting water: 3,787 crystals with DFT labels (I. E. Castelli et al., Energy Environ.
Sci. 5, 9034, 2012).

The goal is the lowest heat of formation among those with a heat of at most 0.5 eV/atom and a direct gap between 1 and
4 eV; those are the hits, and a run ends when all are found. The bundled generator has seen none of the labels.
Another table of crystals with two such columns goes as well: `perovskite_pool+heat=COLUMN+gap=COLUMN`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from pydantic import Field

from benchmarks.search.pool import PoolTask, columns, load_pool
from benchmarks.search.protocols import BATCH, TaskContext
from campaigns.errors import UserError
from campaigns.spec import CampaignSpec, Strict, parse_spec
from generative.models.wyckoff_vae import Params as GeneratorParams
from generative.models.wyckoff_vae import build as build_generator
from generative.protocols import GeneratorContext
from optimizer.objective import CampaignObjective
from optimizer.references import ReferenceTable

CALLS = 800  # of a run, unless it is told otherwise
HEAT, GAP = "heat_ev_atom", "direct_gap_ev"


class Params(Strict):
    """Columns of the table, and what counts as a hit."""

    heat: str = Field("heat_all", description="Column of the heat of formation (eV/atom).")
    gap: str = Field("dir_gap", description="Column of the direct gap (eV).")
    heat_at_most: float = Field(0.5, description="Hits: heat (eV/atom).")
    gap_between: tuple[float, float] = Field((1.0, 4.0), description="Hits: gap (eV).")


def build(params: Params, context: TaskContext) -> PoolTask:
    """Raises UserError where no table is given, a column is missing, or there is no hit."""
    if context.data is None:
        raise UserError("perovskite_pool: needs a table.", "Name it with --data FILE.")
    generator = build_generator(GeneratorParams(), GeneratorContext(torch.device("cpu")))
    pool, values = columns(
        context.data, load_pool(context.data, generator, context.cache), {HEAT: params.heat, GAP: params.gap}
    )
    elements = sorted({e.symbol for x in pool.crystals for e in x.composition.elements})
    sizes = [len(x.composition.elements) for x in pool.crystals]
    atoms = [len(x) for x in pool.crystals]
    low, high = params.gap_between
    spec = parse_spec(
        {
            "name": "perovskite_pool",
            "space": {
                "elements": {"include": elements, "exclude": []},
                "n_elements": [min(sizes), max(sizes)],
                "n_atoms": [min(atoms), max(atoms)],
                "space_groups": list(pool.space_groups),
            },
            "oracles": [{"kind": "external", "properties": {HEAT: "eV/atom", GAP: "eV"}}],
            "objectives": {HEAT: "minimize"},
            "constraints": {HEAT: {"max": params.heat_at_most}, GAP: {"min": low, "max": high}},
            "acquisition": "discovery",  # every hit counts the same
            "propose_known": True,
            "candidates": {"path": str(context.data.resolve()), "only": True},
            "batch_size": BATCH,
            "budget": {"oracle_calls": len(pool.names)},
        }
    )
    objective = CampaignObjective.from_spec(spec)
    hits = _hits(spec, objective, pool.names, values)
    return PoolTask("perovskite_pool", spec, objective, generator, ReferenceTable.load(), pool, values, hits)


def _hits(
    spec: CampaignSpec, objective: CampaignObjective, names: Sequence[str], values: Sequence[Mapping[str, float]]
) -> dict[str, tuple[str, ...]]:
    """The hits; those that split water (heat <= 0.2, gap 1.5 to 3); the lowest 1 % of heats; the best 5 % in rank."""
    order = objective.ranking(values)
    by_heat = sorted(range(len(names)), key=lambda i: values[i][HEAT])
    chosen = {
        "hits": [i for i in range(len(names)) if objective.feasible(values[i])],
        "strict": [i for i, v in enumerate(values) if v[HEAT] <= 0.2 and 1.5 <= v[GAP] <= 3.0],
        "lowest_1_percent": by_heat[: math.ceil(0.01 * len(names))],
        "top_5_percent": list(order[: math.ceil(0.05 * len(names))]),
    }
    if not chosen["hits"]:
        raise UserError(f"{spec.name}: the table holds no hit.", "Widen heat_at_most or gap_between.")
    return {key: tuple(names[i] for i in found) for key, found in chosen.items()}
