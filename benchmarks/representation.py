"""Does a crystal survive encoding and decoding, and does its code depend on how it is written down?

    python -m benchmarks.representation --data mp_train.csv.gz

Round trip: every AFLOW prototype in pymatgen of at most 40 atoms and `--round-trips` random crystals of the table (any
size), compared by StructureMatcher at its defaults and by volume per atom within 0.1 %. One code: `--codes` random
crystals, each rewritten with its sites permuted, its origin shifted, as a supercell, in another rotated cell, and as a
supercell of that one; exceptions are listed. Exit code 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from generative.canonical import same_code
from generative.crystal_formats import Unread
from generative.equivalents import WAYS, rewritten
from generative.loading import load_crystals, read_crystal
from generative.protocols import DecodeFailure, EncodeFailure
from generative.representations.wyckoff import WyckoffRepresentation, fingerprint_of

LIMIT_ROUND_TRIP = 0.995
LIMIT_ONE_CODE = 0.99
VOLUME_TOLERANCE = 1e-3
LARGEST_PROTOTYPE = 40


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.representation", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="any set of crystals that `optimize train` reads")
    parser.add_argument("--round-trips", type=int, default=500)
    parser.add_argument("--codes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("command: python -m benchmarks.representation", *sys.argv[1:])
    print(f"seed {given.seed}; all sizes; a crystal that cannot be encoded counts as lost")
    rng = np.random.default_rng(given.seed)
    items = load_crystals(given.data).items
    whole, some = (drawn(items, n, rng) for n in (given.round_trips, given.codes))
    shares = [
        report_round_trips("AFLOW prototypes", prototypes()),
        report_round_trips("training crystals", whole),
        report_one_code(some, rng),
    ]
    limits = (LIMIT_ROUND_TRIP, LIMIT_ROUND_TRIP, LIMIT_ONE_CODE)
    return 0 if all(share >= limit for share, limit in zip(shares, limits, strict=True)) else 1


def drawn(items: Sequence[Unread], n: int, rng: np.random.Generator) -> list[Structure]:
    """n of the crystals at random, less those that cannot be read."""
    chosen = (read_crystal(items[i]) for i in rng.choice(len(items), n, replace=False))
    return [x for x in chosen if isinstance(x, Structure)]


def prototypes() -> list[Structure]:
    """The AFLOW library of prototypes (Mehl et al., Comput. Mater. Sci. 136, S1, 2017) that pymatgen carries."""
    with warnings.catch_warnings():  # the references are read by bibtexparser, with names pyparsing has renamed
        warnings.filterwarnings("ignore", module="bibtexparser|pyparsing")
        from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY
    crystals = [entry["snl"].structure for entry in AFLOW_PROTOTYPE_LIBRARY]
    return [x for x in crystals if len(x) <= LARGEST_PROTOTYPE]


def report_round_trips(name: str, crystals: Sequence[Structure]) -> float:
    """Print how many crystals come back, and each that does not; the share that does."""
    representation, matcher = WyckoffRepresentation(), StructureMatcher()
    representation.featurize(crystals[:50])  # read the symmetry tables before the clock starts
    started = time.perf_counter()
    codes = representation.featurize(crystals)
    encoding = time.perf_counter() - started
    usable = [code for code in codes if not isinstance(code, EncodeFailure)]
    started = time.perf_counter()
    decoded = iter(representation.reconstruct(usable))
    decoding = time.perf_counter() - started
    lost = []
    for x, code in zip(crystals, codes, strict=True):
        answer = code if isinstance(code, EncodeFailure) else next(decoded)
        reason = difference(x, answer, matcher)
        if reason:
            lost.append(f"  {x.composition.formula}, {len(x)} atoms: {reason}")
    share = 1 - len(lost) / len(crystals)
    print(f"{name}: {len(crystals) - len(lost)} of {len(crystals)} survive ({share:.2%}, ", end="")
    print(f"limit {LIMIT_ROUND_TRIP:.1%}); encoding {len(crystals) / encoding:.0f}/s, ", end="")
    print(f"decoding {len(usable) / decoding:.0f}/s on one thread")
    print("\n".join(lost), end="\n" if lost else "")
    return share


def difference(x: Structure, answer: Structure | EncodeFailure | DecodeFailure, matcher: StructureMatcher) -> str:
    """What was lost between a crystal and what came back; empty where nothing was."""
    if not isinstance(answer, Structure):
        return f"{answer.code}: {answer.message}"
    volume = answer.volume / len(answer) / (x.volume / len(x)) - 1
    if abs(volume) > VOLUME_TOLERANCE:
        return f"volume {volume:+.2%}"
    return "" if matcher.fit(x, answer) else "StructureMatcher finds no match"


def report_one_code(crystals: Sequence[Structure], rng: np.random.Generator) -> float:
    """Print for how many crystals every rewriting has the same code, and each exception; the share."""
    representation, exceptions = WyckoffRepresentation(), []
    for x in crystals:
        code, *others = representation.featurize([x, *rewritten(x, rng)])
        changed = []
        for name, other in zip(WAYS, others, strict=True):
            if isinstance(code, EncodeFailure) or isinstance(other, EncodeFailure):
                changed.append(f"{name}: {other if isinstance(other, EncodeFailure) else code}")
            elif not same_code(code, other):
                changed.append(f"{name}: {fingerprint_of(code)} became {fingerprint_of(other)}")
        if changed:
            exceptions.append(f"  {x.composition.formula}, {len(x)} atoms: " + "; ".join(changed))
    share = 1 - len(exceptions) / len(crystals)
    print(f"one code: {len(crystals) - len(exceptions)} of {len(crystals)} crystals keep their code in all ", end="")
    print(f"five rewritings ({share:.2%}, limit {LIMIT_ONE_CODE:.0%})")
    print("\n".join(exceptions), end="\n" if exceptions else "")
    return share


if __name__ == "__main__":
    raise SystemExit(main())
