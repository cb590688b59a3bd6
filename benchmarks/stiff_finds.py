"""Calls to ten stiff finds in `stiff_and_stable`: stiffer than all but one in a hundred of the known crystals.

    python -m benchmarks.stiff_finds references --data mp_train.csv.gz
    python -m benchmarks.stiff_finds count --runs benchmarks/results/stiff_and_stable

`references` measures 500 crystals of the table as the task measures candidates (same oracles, charged to nobody), drawn
by seed 0 from those that the task's space would hold: at most 8 atoms in the primitive cell, one to four elements. It
adds lines to `--out` and goes on when it is run again. `count` takes the 99th percentile of their bulk moduli and
counts in each run the calls to the tenth crystal above it that lies within 0.1 eV/atom of a hull that is not sparse,
is new to the reference table and, by pymatgen's StructureMatcher, unlike the finds before it. Bar: 300 or fewer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from benchmarks.search.protocols import TaskContext
from benchmarks.search.runs import Run, read_run
from benchmarks.search.tasks.stiff_and_stable import Params, build
from campaigns.crystals import crystal_from_json
from campaigns.records import final_crystal, first_failure, last_values
from campaigns.search_space import SearchSpace
from generative.loading import load_crystals, read_crystal
from generative.progress import tracked
from optimizer.references import ReferenceTable
from optimizer.screening import screen

N, WANTED, PERCENTILE = 500, 10, 99
MODULUS, HULL, MOST_EV_ATOM = "bulk_modulus_gpa", "energy_above_hull_ev_atom", 0.1
REFERENCES = Path("benchmarks/results/stiff_references.jsonl")
CACHE = Path("runs/benchmarks")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stiff_finds", description=__doc__)
    commands = parser.add_subparsers(required=True)
    references = commands.add_parser("references", help="measure known crystals")
    references.add_argument("--data", type=Path, required=True)
    references.add_argument("--n", type=int, default=N)
    references.add_argument("--seed", type=int, default=0)
    references.add_argument("--out", type=Path, default=REFERENCES)
    references.set_defaults(call=measure)
    count = commands.add_parser("count", help="calls to the tenth find of each run")
    count.add_argument("--runs", type=Path, required=True)
    count.add_argument("--references", type=Path, default=REFERENCES)
    count.set_defaults(call=report)
    given = parser.parse_args()
    print("command: python -m benchmarks.stiff_finds", *sys.argv[1:])
    return int(given.call(given))


def measure(given: argparse.Namespace) -> int:
    task = build(Params(), TaskContext(data=None, cache=CACHE))
    done = set(read(given.out)) if given.out.exists() else set()
    drawn = [(name, x) for name, x in draw(given.data, task.parts.spec.space, given.n, given.seed) if name not in done]
    crystals = dict(drawn)
    with task.parts.evaluator(CACHE / "answers") as evaluator, given.out.open("a") as file:
        tasks = [(name, crystal, place) for place, (name, crystal) in enumerate(drawn)]
        for name, stages in tracked(evaluator.evaluate(tasks, Event()), "references", len(tasks)):
            failed = first_failure(stages)
            line = {
                "material_id": name,
                "formula": final_crystal(stages, crystals[name]).composition.reduced_formula,
                **({"failure": failed.code.value} if failed else last_values(stages)),
            }
            print(json.dumps(line), file=file, flush=True)
    print(in_words(given.out))
    return 0


def draw(data: Path, space: SearchSpace, n: int, seed: int) -> list[tuple[str, Structure]]:
    """The first n of a random order that lie inside the space, as primitive cells."""
    table = load_crystals(data)
    found: list[tuple[str, Structure]] = []
    for place in np.random.default_rng(seed).permutation(len(table)).tolist():
        crystal = read_crystal(table.items[place])
        if isinstance(crystal, Structure) and crystal.is_ordered:
            crystal = crystal.get_primitive_structure()
            if screen(crystal, space) is None:
                found.append((str(table.names[place]), crystal))
        if len(found) == n:
            break
    return found


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Lines by material id."""
    return {row["material_id"]: row for row in map(json.loads, path.read_text().splitlines())}


def threshold_gpa(path: Path) -> float:
    return float(np.percentile([row[MODULUS] for row in read(path).values() if MODULUS in row], PERCENTILE))


def in_words(path: Path) -> str:
    rows = read(path).values()
    failed = sum("failure" in row for row in rows)
    return f"{len(rows)} known crystals, {failed} failed; {PERCENTILE}th percentile {threshold_gpa(path):.1f} GPa"


def report(given: argparse.Namespace) -> int:
    least, table = threshold_gpa(given.references), ReferenceTable.load()
    print(in_words(given.references))
    for file in sorted([*given.runs.glob("*.jsonl"), *given.runs.glob("*.jsonl.gz")]):
        run = read_run(file)
        found = list(finds(run, least, table))
        calls = f"{found[WANTED - 1]} calls" if len(found) >= WANTED else f"not in {len(run.rows)} calls"
        print(f"{run.arm}, seed {run.header['seed']}: {WANTED} finds: {calls}; {len(found)} in all")
    return 0


def finds(run: Run, least_gpa: float, table: ReferenceTable) -> Iterator[int]:
    """After how many calls each find was made."""
    matcher, met = StructureMatcher(), list[Structure]()
    for calls, row in enumerate(run.rows, start=1):
        answer = row["answer"]
        values = answer["values"] or {}
        if answer["failure"] or values[MODULUS] <= least_gpa or values[HULL] > MOST_EV_ATOM:
            continue
        crystal = crystal_from_json(answer["crystal"])
        if "hull_sparse" in answer["flags"] or not table.novelty(crystal).new:
            continue
        if not any(matcher.fit(crystal, other) for other in met):
            met.append(crystal)
            yield calls


if __name__ == "__main__":
    raise SystemExit(main())
