"""How long it takes to say of 1,000 candidates whether they are new, and what is nearest.

    python -m benchmarks.novelty

Samples of the bundled generator, relaxed or not: the geometry does not matter for the time. With `--own N` the first N
of them also stand in a table of known crystals with structures, which StructureMatcher then compares. One thread. Bar:
1,000 in less than a minute.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections import Counter

import numpy as np
import torch
from pymatgen.core import Structure

from campaigns.crystals import crystal_to_json
from campaigns.kinds import build_kind
from campaigns.spec import KindSpec
from generative.protocols import EncodeFailure
from generative.representations.wyckoff import fingerprint
from optimizer.references import ReferenceTable

BAR_SECONDS = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.novelty", description=__doc__)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--own", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("command: python -m benchmarks.novelty", *sys.argv[1:])
    torch.set_num_threads(1)
    crystals = samples(given.n, given.seed)
    table = with_own(ReferenceTable.load(), crystals[: given.own])
    table.novelty(crystals[0])  # indices are made on first use
    started = time.monotonic()
    found = [table.novelty(crystal) for crystal in crystals]
    seconds = time.monotonic() - started
    print(f"{len(found)} crystals in {seconds:.1f} s, {len(table)} known ones, {given.own} with structures")
    print(f"new {sum(each.new for each in found)}; by {dict(Counter(each.basis for each in found))}")
    return 0 if seconds * 1000 / given.n < BAR_SECONDS else 1


def samples(n: int, seed: int) -> list[Structure]:
    """Decoded from latents of the prior."""
    generator = build_kind("generator", KindSpec(kind="wyckoff_vae"), None, "generator")
    z = torch.randn(2 * n, generator.latent_dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    decoded = generator.decode(z, within=None, seed=seed)
    return [crystal for crystal in decoded if isinstance(crystal, Structure)][:n]


def with_own(table: ReferenceTable, crystals: list[Structure]) -> ReferenceTable:
    """The table and these crystals with their structures."""
    marks = [fingerprint(crystal) for crystal in crystals]
    own = dataclasses.replace(
        table,
        material_ids=tuple(f"own-{i}" for i in range(len(crystals))),
        formulas=tuple(crystal.composition.reduced_formula for crystal in crystals),
        space_groups=np.zeros(len(crystals), dtype=np.int64),
        fingerprints=tuple("" if isinstance(mark, EncodeFailure) else mark for mark in marks),
        energies_ev_atom=np.full(len(crystals), np.nan),
        version="own",
        crystals=tuple(crystal_to_json(crystal) for crystal in crystals),
    )
    return table.with_rows_of(own) if crystals else table


if __name__ == "__main__":
    raise SystemExit(main())
