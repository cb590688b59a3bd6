"""Every figure of a generator, and what becomes of its samples when they are relaxed.

    python -m benchmarks.generator --data mp_train.csv.gz --relax 500 --out runs/generator

The figures are those of `optimize evaluate-generator`. `--relax N` relaxes N samples of the prior with CHGNet, none
left out, and beside them N ionic substitutions of random training crystals: the oldest way to make new compounds
(Hautier et al., Inorg. Chem. 50, 656, 2011). A crystal counts where its relaxation converges, it ends within
0.1 eV/atom of the hull of the bundled reference table, no other of its arm ends in it, and the table does not hold it;
those whose hull lacks a binary compound are counted apart. Run again to go on: what was relaxed is kept.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pymatgen.analysis.structure_prediction.substitution_probability import SubstitutionProbability
from pymatgen.core import Composition, Element, Lattice, Species, Structure

from campaigns.crystals import crystal_from_json, crystal_to_json
from campaigns.elements import SYMBOLS
from campaigns.records import Failed
from campaigns.workers import worker_pool
from generative.augmentation import element_volumes
from generative.evaluation_run import Subject, evaluate_generator
from generative.plots import write_evaluation
from generative.progress import tracked
from generative.representations.wyckoff import crystal_of, fingerprint
from optimizer.references import ReferenceTable

STABLE_EV_ATOM = 0.1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generator", description=__doc__)
    parser.add_argument("--weights", default="bundled", help="folder written by `optimize train`, or bundled")
    parser.add_argument("--data", type=Path, required=True, help="any set of crystals that `optimize train` reads")
    parser.add_argument("--out", type=Path, default=Path("runs/generator"), help="figures, plots, relaxations")
    parser.add_argument("--samples", type=int, default=10_000, help="latents drawn from the prior")
    parser.add_argument("--relax", type=int, default=0, help="relax this many samples and substitutions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="threads, and processes that relax")
    given = parser.parse_args()
    print("command: python -m benchmarks.generator", *sys.argv[1:])
    given.out.mkdir(parents=True, exist_ok=True)
    table = ReferenceTable.load()
    found = evaluate_generator(
        given.weights,
        given.data,
        samples=max(given.samples, given.relax),
        seed=given.seed,
        known=lambda mark: bool(table.is_known(mark)),
        cache=given.out / "codes.npz",
        threads=given.workers,
    )
    write_evaluation(found, given.out)
    print(json.dumps(found.document, indent=1))
    if given.relax:
        arms: dict[str, list[Structure | None]] = {
            "samples": list(found.samples.crystals[: given.relax]),
            "substitutions": list(ionic_substitutions(found.subject, given.relax, given.seed)),
        }
        # the version is in the name: rows of other weights must not be taken for these
        checkpoint = given.out / f"relaxed-{found.document['generator']}-{given.seed}.jsonl"
        rows = relaxed(arms, checkpoint, given.workers)
        print(json.dumps({arm: stable_unique_new(rows[arm]) for arm in arms}, indent=1))
    return 0


def ionic_substitutions(subject: Subject, n: int, seed: int) -> Iterator[Structure]:
    """Random training crystals with one ion exchanged for another of its charge, by Hautier's probability.

    Crystals that get no oxidation states (intermetallics, mostly) are passed over; volumes are scaled by least-squares
    volumes of the elements.
    """
    rng = np.random.default_rng(seed)
    of_training = subject.usable if subject.in_training is None else subject.usable & _training_codes(subject)
    codes = subject.encoded.codes.take(of_training)
    volumes = element_volumes(codes)
    made = 0
    while made < n:
        crystal = crystal_of(codes.code(int(rng.integers(len(codes)))))
        exchange = _exchange(crystal.composition, rng) if isinstance(crystal, Structure) else None
        if exchange is None or not isinstance(crystal, Structure):
            continue
        old, new = exchange
        species = [new if site.specie.symbol == old else site.specie.symbol for site in crystal]
        before, after = (
            sum(volumes[Element(s).Z] for s in each) for each in ([x.specie.symbol for x in crystal], species)
        )
        yield Structure(Lattice(crystal.lattice.matrix * (after / before) ** (1 / 3)), species, crystal.frac_coords)
        made += 1


def _training_codes(subject: Subject) -> np.ndarray:
    assert subject.in_training is not None
    return np.asarray(subject.in_training[subject.encoded.codes.row])


def _exchange(composition: Composition, rng: np.random.Generator) -> tuple[str, str] | None:
    """An element and what it is exchanged for; None where no ion of the same charge is to be had."""
    guesses = composition.reduced_composition.oxi_state_guesses()
    if not guesses:
        return None
    present = [element.symbol for element in composition.elements]
    old = present[int(rng.integers(len(present)))]
    state = guesses[0][old]
    if state != int(state):
        return None
    table = _substitutions()
    ion = Species(old, int(state))
    others = [s for s in table.species if s.oxi_state == ion.oxi_state and s.element.symbol not in present]
    others = sorted((s for s in others if s.element.symbol in SYMBOLS), key=str)
    chances = np.array([table.cond_prob(other, ion) for other in others]) if ion in table.species else np.array([])
    if not len(chances) or chances.sum() == 0:
        return None
    return old, others[int(rng.choice(len(others), p=chances / chances.sum()))].element.symbol


@cache
def _substitutions() -> SubstitutionProbability:
    return SubstitutionProbability()


def relaxed(arms: dict[str, list[Structure | None]], checkpoint: Path, workers: int) -> dict[str, list[dict[str, Any]]]:
    """What became of each crystal, by arm and in order; what did not decode is an entry without a crystal."""
    done: dict[str, dict[str, Any]] = {}
    if checkpoint.exists():
        rows = [json.loads(line) for line in checkpoint.read_text().splitlines()]
        done = {row["key"]: row for row in rows}
    keys = {arm: [f"{arm}-{i}" for i in range(len(crystals))] for arm, crystals in arms.items()}
    todo = [
        (key, None if x is None else crystal_to_json(x))
        for arm, crystals in arms.items()
        for key, x in zip(keys[arm], crystals, strict=True)
        if key not in done
    ]
    with worker_pool(workers) as pool, checkpoint.open("a") as file:
        for row in tracked(pool.map(relax_one, todo), "relaxing", len(todo)):
            done[row["key"]] = row
            file.write(json.dumps(row) + "\n")
            file.flush()
    return {arm: [done[key] for key in keys[arm]] for arm in arms}


def relax_one(task: tuple[str, str | None]) -> dict[str, Any]:
    """Relax with CHGNet; the distance from the hull is CHGNet's, of the relaxed crystal."""
    from optimizer.calculators import CalculatorParams, potential
    from optimizer.relaxation import RelaxationLimits, relax

    torch.set_num_threads(1)
    key, text = task
    if text is None:
        return {"key": key, "failed": "no crystal"}
    outcome = relax(crystal_from_json(text), potential(CalculatorParams(), "cpu").calculator, RelaxationLimits())
    if isinstance(outcome, Failed):
        return {"key": key, "failed": outcome.code.value}
    crystal, table = outcome.crystal, ReferenceTable.load()
    row: dict[str, Any] = {"key": key, "formula": crystal.composition.reduced_formula, "steps": outcome.steps}
    mark, hull = fingerprint(crystal), table.hull_distance(crystal.composition, outcome.energy_ev_atom)
    row |= {"fingerprint": mark if isinstance(mark, str) else None, "new": table.novelty(crystal).new}
    if not isinstance(hull, Failed):
        row |= {"above_hull_ev_atom": hull.value_ev_atom, "sparse": hull.sparse}
    return row


def stable_unique_new(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Shares of all n, failures included.

    `hull_is_full`: every pair of the relaxed crystal's elements has a known compound. `standard_error` is that of the
    share that is stable, unique and new.
    """
    n, seen, counts = len(rows), set(), {"stable": 0, "full_hull": 0, "sparse_hull": 0}
    for row in rows:
        if row.get("above_hull_ev_atom", math.inf) > STABLE_EV_ATOM:
            continue
        counts["stable"] += 1
        if row["new"] and row["fingerprint"] is not None and row["fingerprint"] not in seen:
            seen.add(row["fingerprint"])
            counts["sparse_hull" if row["sparse"] else "full_hull"] += 1
    sun = counts["full_hull"] + counts["sparse_hull"]
    return {
        "n": n,
        "converged": sum("failed" not in row for row in rows) / n,
        "stable": counts["stable"] / n,
        "stable_unique_new": sun / n,
        "hull_is_full": sum(not row.get("sparse", True) for row in rows) / n,
        "of_these_on_a_full_hull": counts["full_hull"] / n,
        "of_these_on_a_sparse_hull": counts["sparse_hull"] / n,
        "standard_error": math.sqrt(sun / n * (1 - sun / n) / n),
    }


if __name__ == "__main__":
    raise SystemExit(main())
