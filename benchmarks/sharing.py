"""What a shared ledger costs: candidates that several processes claim and record in PostgreSQL, measuring nothing.

    python -m benchmarks.sharing --ledger postgresql://me@127.0.0.1/materials --workers 4 --candidates 400

Prints candidates a second, the median and the 95th percentile of the milliseconds of a claim and of a record, and
whether every candidate was claimed and recorded once. The workers do nothing else, so that they queue; on one machine
they share its cores with the server. Leaves the campaign `sharing-...` in the database and in --folder.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shlex
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median, quantiles

from pymatgen.core import Lattice, Structure

from campaigns.places import find_ledger
from campaigns.records import Candidate, Measured, StageOutcome
from campaigns.spec import CampaignSpec, parse_spec
from campaigns.store import CampaignStore

CRYSTAL = Structure(Lattice.cubic(4.0), ["Cs", "Cl"], [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])


def spec_of(ledger: str, candidates: int) -> CampaignSpec:
    return parse_spec(
        {
            "name": f"sharing-{int(time.time())}",
            "oracles": ["volume"],
            "objectives": {"volume_ang3_atom": "minimize"},
            "budget": {"oracle_calls": candidates},
            "ledger": ledger,
        }
    )


def work(spec: CampaignSpec, folder: Path) -> list[tuple[str, float, float]]:
    """Candidate, seconds of its claim and of its record."""
    find_ledger(folder, spec)
    found: list[tuple[str, float, float]] = []
    with CampaignStore.open(folder) as store, store.take_part(spec):
        while True:
            began = time.perf_counter()
            if (claimed := store.claim()) is None:
                if not store.pending():
                    return found
                continue
            took, stages = time.perf_counter(), [StageOutcome("volume", "1", Measured({"v": 32.0}, CRYSTAL))]
            assert store.record(claimed.candidate.id, stages)
            found.append((claimed.candidate.id, took - began, time.perf_counter() - took))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--candidates", type=int, default=400)
    parser.add_argument("--folder", type=Path, default=Path("sharing"))
    given = parser.parse_args()
    print(shlex.join(["python", "-m", "benchmarks.sharing", *sys.argv[1:]]))
    spec = spec_of(given.ledger, given.candidates)
    proposed = [Candidate(f"000-{i:04d}", 0, "none", CRYSTAL, None, "none") for i in range(given.candidates)]
    with CampaignStore.create(given.folder / "driver", spec, provenance={}) as store:
        store.finish_phase(0, "start", candidates=proposed)
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(given.workers, mp_context=spawn) as pool:
            list(pool.map(abs, range(given.workers)))
            began = time.perf_counter()
            parts = [pool.submit(work, spec, given.folder / f"worker{i}") for i in range(given.workers)]
            found = [each for part in parts for each in part.result()]
            seconds = time.perf_counter() - began
        names = [name for name, _, _ in found]
        once = len(names) == len(set(names)) == len(store.outcomes()) == store.spent().calls == given.candidates
    claims, records = [claim for _, claim, _ in found], [record for _, _, record in found]
    for what, seconds_each in (("claim", claims), ("record", records)):
        times = [1000 * each for each in seconds_each]
        print(f"{what}: median {median(times):.1f} ms, 95 % below {quantiles(times, n=20)[-1]:.1f} ms")
    pace = f"{given.candidates / seconds:.0f} a second"
    print(f"{given.candidates} candidates, {given.workers} workers: {pace}; each claimed and recorded once: {once}")


if __name__ == "__main__":
    main()
