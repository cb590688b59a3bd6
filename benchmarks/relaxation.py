"""Relaxations per second, and whether relaxing together changes what comes out.

    python -m benchmarks.relaxation throughput --data crystals.csv.gz            # 60 crystals: two workers, ASE's loop
    python -m benchmarks.relaxation parity --data crystals.csv.gz                # 200 crystals, both ways
    python -m benchmarks.relaxation gpu --data crystals.csv.gz                   # 1,000 crystals, needs CUDA

`--data` is a CSV with a column of CIFs. Crystals of at most `--atoms` atoms are drawn with `--seed`, their volume
changed by up to 6 % and, with `--rattle`, their atoms moved by that many angstrom: something is left to relax.

`throughput`: oracle `relax` in two worker processes, as a campaign asks it, against the plain loop of ASE
(`relaxation.relax`) on one and on two threads, with the package's calculator and, with `--chgnet`, chgnet's own. All
limits are the oracle's defaults; starting the workers is not counted, nor is loading the model.

`parity`: the batched relaxer against the loop: same structure by StructureMatcher, volume within 1 %, energy within
2 meV/atom, or the same failure.

`gpu`: the batched relaxer against the loop on the same GPU, which is timed on `--loop` of the crystals.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from threading import Event
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from ase.calculators.calculator import Calculator
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from campaigns.records import Failed
from campaigns.search_space import SearchSpace
from campaigns.spec import KindSpec
from optimizer.batched_relaxation import relax_together
from optimizer.calculators import CalculatorParams, potential
from optimizer.cascade import Cascade
from optimizer.chgnet_calculator import LeanCHGNetCalculator
from optimizer.evaluation import Evaluator
from optimizer.executors.local import LocalWorkers
from optimizer.executors.local import Params as LocalParams
from optimizer.protocols import OracleContext
from optimizer.relaxation import RelaxationLimits, Relaxed, relax

VOLUME_TOLERANCE = 0.01
ENERGY_TOLERANCE_EV_ATOM = 0.002
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LIMITS = RelaxationLimits()
Outcome = Relaxed | Failed


def crystals_of(path: Path, column: str, count: int, atoms: int, rattle: float, seed: int) -> list[Structure]:
    """`count` crystals drawn with `seed`, each with another volume than it has at rest."""
    rng = np.random.default_rng(seed)
    table = pd.read_csv(path)
    found: list[Structure] = []
    for row in rng.permutation(len(table)):
        with warnings.catch_warnings():  # pymatgen says that it rounds coordinates like 0.3333
            warnings.filterwarnings("ignore", message="Issues encountered while parsing CIF")
            crystal = Structure.from_str(table[column][row], fmt="cif")
        if len(crystal) > atoms or not crystal.is_ordered:
            continue
        crystal.scale_lattice(crystal.volume * rng.uniform(0.94, 1.06))
        if rattle:
            moved = crystal.cart_coords + rattle * rng.normal(size=(len(crystal), 3)) / 3**0.5
            crystal = Structure(crystal.lattice, crystal.species, moved, coords_are_cartesian=True)
        found.append(crystal)
        if len(found) == count:
            return found
    raise SystemExit(f"{path} holds {len(found)} crystals of at most {atoms} atoms; ask for fewer with --crystals")


@dataclass(frozen=True)
class Loop:
    """The plain loop over crystals in a process of its own, so that its number of threads is its own."""

    threads: int
    calculator: str  # "ours" or "chgnet"

    def seconds(self, crystals: Sequence[Structure]) -> tuple[float, int]:
        """Wall time without loading the model, and how many converged."""
        os.environ |= dict.fromkeys(THREADS, str(self.threads))  # numpy's linear algebra has threads of its own
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(_loop, self, list(crystals)).result()


def _loop(loop: Loop, crystals: list[Structure]) -> tuple[float, int]:
    torch.set_num_threads(loop.threads)
    calculator: Calculator = potential(CalculatorParams(), "cpu").calculator
    if loop.calculator == "chgnet":
        from chgnet.model.dynamics import CHGNetCalculator

        for message in ("Converting a tensor with requires_grad=True to a scalar", "Only FixAtoms and FixCartesian"):
            warnings.filterwarnings("ignore", message=message)
        with redirect_stdout(StringIO()):  # it announces its device
            calculator = CHGNetCalculator(cast(LeanCHGNetCalculator, calculator).model, use_device="cpu")
    relax(crystals[0], calculator, LIMITS)
    started = time.perf_counter()
    outcomes = [relax(crystal, calculator, LIMITS) for crystal in crystals]
    return time.perf_counter() - started, sum(isinstance(each, Relaxed) for each in outcomes)


def throughput(crystals: list[Structure], workers: int, calculators: Sequence[str]) -> None:
    """Relaxations per second of the oracle in worker processes, and of the plain loops."""
    specs, context = (KindSpec(kind="relax"),), OracleContext("cpu")
    cascade = Cascade.build(specs, context, SearchSpace(n_atoms=cast(Any, (1, 1000)), min_distance_ang=0.5))
    count = len(crystals)
    with Evaluator(cascade, specs, context, LocalWorkers(workers, LocalParams())) as evaluator:
        warm = [(f"warm{n}", crystals[0], 0) for n in range(2 * workers)]
        list(evaluator.evaluate(warm, Event()))  # every worker has started and loaded the model
        started = time.perf_counter()
        tasks = [(str(n), crystal, 0) for n, crystal in enumerate(crystals)]
        stages = dict(evaluator.evaluate(tasks, Event()))
        taken = time.perf_counter() - started
    converged = sum(not isinstance(each[0].outcome, Failed) for each in stages.values())
    print(
        f"relax in {workers} workers: {count / taken:.3f} /s ({taken:.1f} s, {converged} of {count} converged)",
        flush=True,
    )
    rates: dict[str, float] = {}
    for calculator in calculators:
        for threads in (1, 2):
            seconds, converged = Loop(threads, calculator).seconds(crystals)
            rates[calculator] = max(rates.get(calculator, 0.0), count / seconds)
            print(
                f"plain loop, {calculator} calculator, {threads} threads: {count / seconds:.3f} /s "
                f"({seconds:.1f} s, {converged} of {count} converged)",
                flush=True,
            )
        print(f"{workers} workers against the better of the two: {count / taken / rates[calculator]:.2f} times")


def parity(crystals: list[Structure], device: str, together: int) -> None:
    """How many end alike, relaxed together and in the loop."""
    calculator = cast(LeanCHGNetCalculator, potential(CalculatorParams(), device).calculator)
    with_others, seconds = _timed(lambda: dict(relax_together(crystals, calculator.batched, LIMITS, together=together)))
    alone, loop_seconds = _timed(lambda: [relax(crystal, calculator, LIMITS) for crystal in crystals])
    matcher = StructureMatcher()
    differences = [(n, _difference(with_others[n], alone[n], matcher)) for n in range(len(crystals))]
    for n, said in differences:
        if said:
            print(f"  {crystals[n].composition.reduced_formula} (number {n}): {said}")
    alike = sum(not said for _, said in differences)
    pairs = [(with_others[n], alone[n]) for n in range(len(crystals))]
    both = [(here, there) for here, there in pairs if isinstance(here, Relaxed) and isinstance(there, Relaxed)]
    largest = max((abs(here.energy_ev_atom - there.energy_ev_atom) for here, there in both), default=0.0)
    print(f"alike: {alike} of {len(crystals)} ({alike / len(crystals):.1%}); {len(both)} converged both ways")
    print(f"largest difference in energy {1000 * largest:.3f} meV/atom")
    steps = [np.mean([pair[side].steps for pair in both]) for side in (0, 1)]
    print(f"mean steps {steps[0]:.1f} together, {steps[1]:.1f} in the loop; {seconds:.1f} s and {loop_seconds:.1f} s")


def _difference(here: Outcome, there: Outcome, matcher: StructureMatcher) -> str:
    """What differs beyond the tolerances, in words; empty where nothing does."""
    if isinstance(here, Failed) or isinstance(there, Failed):
        ends = [each.code.value if isinstance(each, Failed) else "relaxed" for each in (here, there)]
        return "" if ends[0] == ends[1] else f"{ends[0]} together, {ends[1]} in the loop"
    if not matcher.fit(here.crystal, there.crystal):
        return "another structure"
    if abs(here.crystal.volume / there.crystal.volume - 1) > VOLUME_TOLERANCE:
        return f"volumes {here.crystal.volume:.2f} and {there.crystal.volume:.2f}"
    if abs(here.energy_ev_atom - there.energy_ev_atom) > ENERGY_TOLERANCE_EV_ATOM:
        return f"energies {here.energy_ev_atom:.4f} and {there.energy_ev_atom:.4f} eV/atom"
    return ""


def gpu(crystals: list[Structure], together: int, loop: int) -> None:
    """Relaxations per second on a GPU, together and in the loop, and the forces of a batch against the calculator's."""
    if not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU; `parity` compares both ways on a CPU")
    print(f"device: {torch.cuda.get_device_name()}")
    calculator = cast(LeanCHGNetCalculator, potential(CalculatorParams(), "cuda").calculator)
    print(f"largest difference in a force: {_force_difference(crystals[:loop], calculator):.1e} eV/angstrom")
    for warm in (crystals[:together], crystals[:2]):
        list(relax_together(warm, calculator.batched, RelaxationLimits(max_steps=2), together=together))
    found, seconds = _timed(lambda: dict(relax_together(crystals, calculator.batched, LIMITS, together=together)))
    relaxed = sum(isinstance(each, Relaxed) for each in found.values())
    fast = len(crystals) / seconds
    print(f"together: {fast:.2f} /s ({seconds:.1f} s, {relaxed} of {len(crystals)} converged)", flush=True)
    relax(crystals[0], calculator, LIMITS)
    alone, seconds = _timed(lambda: [relax(crystal, calculator, LIMITS) for crystal in crystals[:loop]])
    slow = loop / seconds
    print(f"loop: {slow:.2f} /s ({seconds:.1f} s, the first {loop} crystals)")
    matcher = StructureMatcher()
    alike = sum(not _difference(found[n], each, matcher) for n, each in enumerate(alone))
    print(f"{fast / slow:.1f} times as fast; {alike} of {loop} alike")


def _force_difference(crystals: Sequence[Structure], calculator: LeanCHGNetCalculator) -> float:
    from optimizer.chgnet_batch import CrystalBatch
    from optimizer.relaxation import to_atoms

    given = [(np.array(x.atomic_numbers), x.frac_coords, x.lattice.matrix) for x in crystals]
    batch = CrystalBatch.of(given, calculator.batched.device)
    forces = calculator.batched.predict(batch, calculator.batched.bonds(batch)).forces.cpu().numpy()
    largest, start = 0.0, 0
    for crystal in crystals:
        atoms = to_atoms(crystal)
        atoms.calc = calculator
        mine = forces[start : start + len(crystal)]
        largest, start = max(largest, float(np.abs(atoms.get_forces() - mine).max())), start + len(crystal)
    return largest


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=list(_COUNTS))
    parser.add_argument("--data", type=Path, required=True, help="CSV with a column of CIFs")
    parser.add_argument("--cif-column", default="cif")
    parser.add_argument("--crystals", type=int, help="how many; 60, 200 or 1,000 where absent")
    parser.add_argument("--atoms", type=int, default=20, help="most atoms in a crystal")
    parser.add_argument("--rattle", type=float, default=0.0, help="mean length by which atoms are moved (angstrom)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--chgnet", action="store_true", help="`throughput` also with chgnet's own calculator")
    parser.add_argument("--together", type=int, default=256, help="crystals in a batch")
    parser.add_argument("--loop", type=int, default=50, help="crystals the loop is timed on, for `gpu`")
    parser.add_argument("--device", default="cpu", help="for `parity`")
    given = parser.parse_args()
    count = given.crystals or _COUNTS[given.what]
    print("command: python -m benchmarks.relaxation", *sys.argv[1:])
    crystals = crystals_of(given.data, given.cif_column, count, given.atoms, given.rattle, given.seed)
    print(f"{count} crystals, {sum(map(len, crystals)) / count:.1f} atoms on average", flush=True)
    if given.what == "throughput":
        throughput(crystals, given.workers, ("ours", "chgnet") if given.chgnet else ("ours",))
    elif given.what == "parity":
        parity(crystals, given.device, given.together)
    else:
        gpu(crystals, given.together, min(given.loop, count))


_COUNTS = {"throughput": 60, "parity": 200, "gpu": 1000}


if __name__ == "__main__":
    main()
