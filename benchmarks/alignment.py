"""How many measured crystals have a latent that decodes back to them: the encoder's mean alone, and after descent.

    python -m benchmarks.alignment RUN_FOLDER ... --n 300

Crystals as measured (relaxed), of the run folders given in turn, evaluated without failure; each run's own search space
masks the decoder. No oracle is asked.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from campaigns.records import final_crystal, first_failure
from campaigns.store import CampaignStore
from generative.models.wyckoff_vae import Params, build
from generative.protocols import Alignment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--n", type=int, default=300, help="crystals, an equal share of each run")
    arguments = parser.parse_args()
    print("command: python -m benchmarks.alignment", *sys.argv[1:])
    generator = build(Params())
    share = -(-arguments.n // len(arguments.runs))
    answers: list[Alignment | None] = []
    began = time.monotonic()
    for run in arguments.runs:
        with CampaignStore.open(run) as store:
            outcomes, space = store.outcomes(), store.spec.space
            crystals = [
                final_crystal(outcomes[c.id], c.crystal)
                for c in store.candidates()
                if c.id in outcomes and first_failure(outcomes[c.id]) is None
            ]
        crystals = crystals[: min(share, arguments.n - len(answers))]
        found = generator.align(crystals, within=space)
        answers += [each if isinstance(each, Alignment) else None for each in found]
    n = len(answers)
    alone = sum(a is not None and a.decodes_back and a.steps == 0 for a in answers)
    after = sum(a is not None and a.decodes_back for a in answers)
    print(f"generator {generator.version}; {n} measured crystals of {len(arguments.runs)} runs")
    print(f"decode back: {alone / n:.1%} from the encoder's mean, {after / n:.1%} after alignment")
    print(f"{sum(a is None for a in answers)} cannot be encoded; {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
