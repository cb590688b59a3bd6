"""What a call of each oracle costs, and where that figure comes from.

Measured in earlier campaigns with the very same oracle where there are some, measured now where that is asked for, and
else what is typical on one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from pymatgen.core import Structure

from campaigns.places import LEDGER
from campaigns.records import Measured
from campaigns.timings import Timings, read_timings
from generative.threads import one_thread
from optimizer.build import Parts
from optimizer.phases import phase_seed

LEDGERS = 20  # the latest so many are looked at
FEWEST = 3  # measurements that a mean is taken of
LOOKED_UP = 0.02  # an answer in less than this share of the typical time was remembered, not computed
TYPICAL_PROPOSAL_S = 10.0  # a pool of 1,024 on two cores: 4 to 15 s, growing with what was measured
STATED = ("python", "external")  # kinds whose typical time stands in the campaign file
TYPICAL_REFINEMENT_S = 60.0  # 200 steps of training and the verdict on two cores: 40 to 90 s
SAMPLES = 64  # latents that crystals to time are decoded from


@dataclass(frozen=True)
class Cost:
    """Seconds, and where they come from."""

    seconds: float
    source: str


@dataclass(frozen=True)
class Costs:
    """Of one crystal in each stage, by its name, of proposing one round, and of retraining the generator once."""

    stages: Mapping[str, Cost]
    proposal: Cost
    refinement: Cost


def estimated_costs(parts: Parts, run_folder: Path, *, measure: bool = False) -> Costs:
    """The campaign's own ledger first, then those beside it, then timings of today, then what is typical.

    `measure` asks every oracle that computes here about two crystals of the search space.
    """
    ledgers = _ledgers(run_folder)
    timed = _timed(parts) if measure else {}
    stages = {}
    for stage, spec in zip(parts.cascade.stages, parts.spec.oracles, strict=True):
        typical = stage.oracle.nominal_seconds
        source = "as the campaign file says" if spec.kind in STATED else "typical of a core"
        measured = timed.get(stage.name) or _measured(ledgers, stage.oracle.version, typical)
        stages[stage.name] = measured or Cost(typical, source)
    return Costs(stages, _proposal(ledgers), _refinement(ledgers))


def _ledgers(run_folder: Path) -> dict[str, Timings]:
    """Run folder -> its timings: this campaign's first, then the latest of the others."""
    others = [path for path in run_folder.parent.glob(f"*/{LEDGER}") if path.parent != run_folder]
    latest = sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[:LEDGERS]
    return {str(path.parent): read_timings(path) for path in (run_folder / LEDGER, *latest) if path.is_file()}


def _measured(ledgers: Mapping[str, Timings], version: str, typical: float) -> Cost | None:
    for folder, timings in ledgers.items():
        computed = [s for s in timings.oracles.get(version, ()) if s > LOOKED_UP * typical]
        if len(computed) >= FEWEST:
            return Cost(fmean(computed), f"mean of {len(computed)} in {folder}")
    return None


def _proposal(ledgers: Mapping[str, Timings]) -> Cost:
    for folder, timings in ledgers.items():
        if len(timings.proposals) >= FEWEST:
            return Cost(fmean(timings.proposals), f"mean of {len(timings.proposals)} in {folder}")
    return Cost(TYPICAL_PROPOSAL_S, "typical of two cores")


def _refinement(ledgers: Mapping[str, Timings]) -> Cost:
    for folder, timings in ledgers.items():
        if timings.refinements:  # one is enough: it is always as many steps
            return Cost(fmean(timings.refinements), f"mean of {len(timings.refinements)} in {folder}")
    return Cost(TYPICAL_REFINEMENT_S, "typical of two cores")


def _timed(parts: Parts) -> dict[str, Cost]:
    """One crystal to warm up, for weights to be loaded, and one to look at the clock."""
    crystals = _examples(parts)
    stop = parts.external
    stages = parts.cascade.stages[:stop]
    found: dict[str, Cost] = {}
    with one_thread():
        for example in crystals:
            crystal = example
            for stage in stages:
                ((_, outcome),) = stage.oracle.evaluate([crystal], seed=0)
                formula = crystal.composition.reduced_formula
                found[stage.name] = Cost(outcome.seconds, f"measured now on {formula}, {len(crystal)} atoms")
                if not isinstance(outcome, Measured):
                    break
                crystal = outcome.crystal
    return found


def _examples(parts: Parts) -> list[Structure]:
    """Two crystals of the search space of middling size, or fewer."""
    noise = torch.Generator().manual_seed(phase_seed(parts.spec.seed, 0, "start"))
    z = torch.randn(SAMPLES, parts.generator.latent_dim, generator=noise, dtype=torch.float64)
    decoded = parts.generator.decode(z, within=parts.spec.space, seed=0)
    crystals = sorted((each for each in decoded if isinstance(each, Structure)), key=len)
    middle = len(crystals) // 2
    return crystals[middle : middle + 2]
