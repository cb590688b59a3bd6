"""How far a hull can be trusted: crystals whose distance to the full hull is known, each left out in turn.

    python -m benchmarks.hull --data mp_train.csv.gz --formulas mp_formation_energies.csv.gz --out hull.jsonl

`--n` crystals labelled above 0.1 eV/atom and as many labelled 0, compounds with elemental references, drawn by
`--seed`. Each is judged by CHGNet's energy at the DFT geometry against a hull without itself: of the crystals of the
bundled table; of these and the listed stable phases; of these and the competing phases that the oracle would make.
Beside it the same with DFT labels in place of CHGNet's energies, and, as an upper bound, DFT labels against all
formulas of the second file (the lowest energy of each, on the scale of the labels; a crystal's own entry is left out
where its energy is its own). Lines are added to `--out`; run it again to go on. CHGNet was trained on these crystals,
and the list is of the second file.

Bars: at most 10 % of the first inside 0.1 eV/atom, at least 80 % of the second inside 0.05, with competing phases
(without them where `--competing-phases 0`).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Composition

from campaigns.records import Failed
from campaigns.workers import worker_pool
from optimizer.calculators import CalculatorParams, potential
from optimizer.competing import DEFAULT_FORMULAS
from optimizer.hull import judged_distance
from optimizer.references import ReferenceTable
from optimizer.stable_phase_build import on_later_scale
from optimizer.stable_phases import StablePhases

WAYS = ("chgnet_crystals", "chgnet_listed", "chgnet_with_made", "dft_crystals", "dft_listed", "dft_all_formulas")
GROUPS = {"unstable": 0.1, "stable": 0.05}
BARS = {"unstable": 0.10, "stable": 0.80}
OWN_EV_ATOM = 0.02  # what is left between the scales of the two files


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hull", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--formulas", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--competing-phases", type=int, default=DEFAULT_FORMULAS)
    given = parser.parse_args()
    print("command: python -m benchmarks.hull", *sys.argv[1:])
    done = read(given.out)
    todo = [task for task in draw(given.data, given.n, given.seed) if task[1] not in done]
    arguments = (str(given.data), str(given.formulas), given.competing_phases)
    with given.out.open("a") as file, worker_pool(given.workers) as pool:
        for future in as_completed([pool.submit(judge, group, name, *arguments) for group, name in todo]):
            row = future.result()
            done[row["material_id"]] = row
            print(json.dumps(row), file=file, flush=True)
    return report([done[name] for _, name in draw(given.data, given.n, given.seed)])


class Label(NamedTuple):
    """What DFT says of a crystal."""

    formula: str
    formation_energy_ev_atom: float
    above_hull_ev_atom: float


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Finished crystals by id; a line that a kill cut off is left out."""
    rows = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows[row["material_id"]] = row
    return rows


def draw(data: Path, n: int, seed: int) -> list[tuple[str, str]]:
    """(group, material_id), both groups in turns."""
    labels, table = _labels(str(data)), ReferenceTable.load()
    energy = dict(zip(table.material_ids, table.energies_ev_atom, strict=True))
    usable = [
        name
        for name, label in labels.items()
        if np.isfinite(energy[name])
        and len(elements := [e.symbol for e in Composition(label.formula).elements]) > 1
        and table.elements.missing(elements) is None
    ]
    first = sorted(name for name in usable if labels[name].above_hull_ev_atom > GROUPS["unstable"])
    second = sorted(name for name in usable if labels[name].above_hull_ev_atom == 0)
    rng = random.Random(seed)
    pairs = zip(rng.sample(first, n), rng.sample(second, n), strict=True)
    return [(group, name) for pair in pairs for group, name in zip(GROUPS, pair, strict=True)]


def judge(group: str, name: str, data: str, formulas: str, most: int) -> dict[str, Any]:
    """Every way's distance of one crystal in eV/atom, and what making phases took."""
    import torch

    torch.set_num_threads(1)
    table, label = ReferenceTable.load(), _labels(data)[name]
    place = table.material_ids.index(name)
    composition = Composition(label.formula)
    by_chgnet = float(table.energies_ev_atom[place])
    by_dft = _total(table, composition, label.formation_energy_ev_atom)
    judged = judged_distance(
        composition,
        by_chgnet,
        table.fingerprints[place],
        table=table,
        potential=potential(CalculatorParams(), "cpu"),
        formulas=most,
        without=name,
    )
    assert not isinstance(judged, Failed)
    dft, everything = _dft_table(data), _all_formulas(formulas, data)
    formula = composition.reduced_formula
    listed = [
        phase.energy_ev_atom for phase in everything.entries(composition.get_el_amt_dict()) if phase.formula == formula
    ]
    own = formula if any(abs(energy - by_dft) < OWN_EV_ATOM for energy in listed) else ""
    distances = (
        _crystals_alone().hull_distance(composition, by_chgnet, without=name),
        table.hull_distance(composition, by_chgnet, without=name),
        judged.distance,
        _dft_crystals_alone(data).hull_distance(composition, by_dft, without=name),
        dft.hull_distance(composition, by_dft, without=name),
        everything.hull_distance(composition, by_dft, without=own),
    )
    values = [found.value_ev_atom for found in distances if not isinstance(found, Failed)]
    return {
        "material_id": name,
        "formula": composition.reduced_formula,
        "group": group,
        "label_ev_atom": label.above_hull_ev_atom,
        **dict(zip(WAYS, values, strict=True)),
        "sparse": judged.distance.sparse,
        "relaxations": sum(each.relaxations for each in judged.made),
        "single_points": sum(each.single_points for each in judged.made),
        "failed": sum(each.failed for each in judged.made),
        "seconds": round(sum(each.seconds for each in judged.made), 1),
    }


def report(rows: list[dict[str, Any]]) -> int:
    """Print shares; 0 where both bars hold, else 1."""
    kept = True
    for group, limit in GROUPS.items():
        of = [row for row in rows if row["group"] == group]
        shares = {way: float(np.mean([row[way] < limit for row in of])) for way in WAYS}
        print(f"{group} ({len(of)}): share inside {limit} eV/atom: ", end="")
        print(", ".join(f"{way} {share:.1%}" for way, share in shares.items()))
        reached = shares["chgnet_with_made"]
        kept &= reached <= BARS[group] if group == "unstable" else reached >= BARS[group]
    made = [row for row in rows if row["relaxations"]]
    if made:
        print(
            f"phases were made for {len(made)} of {len(rows)} crystals: in the mean "
            f"{np.mean([r['relaxations'] for r in made]):.0f} relaxations, "
            f"{np.mean([r['single_points'] for r in made]):.0f} single points, "
            f"{np.mean([r['seconds'] for r in made]):.0f} s each, what they share counted again; "
            f"{sum(r['failed'] for r in made)} relaxations failed"
        )
    return 0 if kept else 1


@cache
def _labels(data: str) -> dict[str, Label]:
    columns = ["material_id", "formula", "formation_energy_per_atom", "e_above_hull"]
    # NaN is sodium nitride
    table = pd.read_csv(
        data, usecols=columns, dtype={"formula": str}, keep_default_na=False, na_values={"e_above_hull": ""}
    )
    rows = table[columns].itertuples(index=False, name=None)
    return {name: Label(formula, float(formation), float(above)) for name, formula, formation, above in rows}


@cache
def _crystals_alone() -> ReferenceTable:
    return replace(ReferenceTable.load(), listed=StablePhases())


@cache
def _dft_crystals_alone(data: str) -> ReferenceTable:
    return replace(_dft_table(data), listed=StablePhases())


@cache
def _dft_table(data: str) -> ReferenceTable:
    """The bundled table with DFT's energies in place of CHGNet's."""
    table, labels = ReferenceTable.load(), _labels(data)
    formation = [labels[name].formation_energy_ev_atom for name in table.material_ids]
    return replace(table, energies_ev_atom=_totals(table, table.formulas, formation))


@cache
def _all_formulas(path: str, data: str) -> ReferenceTable:
    """One row per formula, named by it, energies on the scale of the labels."""
    moved = on_later_scale(Path(path), Path(data))
    names, groups = tuple(moved), np.zeros(len(moved), dtype=np.int64)
    energies = _totals(ReferenceTable.load(), names, list(moved.values()))
    return ReferenceTable(names, names, groups, ("",) * len(names), energies, version="dft")


def _totals(like: ReferenceTable, formulas: Sequence[str], formation: Sequence[float]) -> NDArray[np.float64]:
    return np.array([_total(like, Composition(f), e) for f, e in zip(formulas, formation, strict=True)])


def _total(table: ReferenceTable, composition: Composition, formation_ev_atom: float) -> float:
    """Energy in eV/atom on the potential's scale; NaN where an element has no reference."""
    if table.elements.missing(element.symbol for element in composition.elements):
        return float("nan")
    return formation_ev_atom - table.elements.formation_energy(composition, 0.0)


if __name__ == "__main__":
    raise SystemExit(main())
