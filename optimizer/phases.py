"""The phases of a round. Each ends in one transaction and draws from its own seed, so a resumed run repeats nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from campaigns.records import Candidate

PHASES = ("start", "propose", "evaluate", "refine")
Report = Callable[[str], None]


def phase_seed(campaign_seed: int, round: int, phase: str, number: int = 0) -> int:
    """A seed of its own for every phase of every round (and candidate `number` in it)."""
    words = np.random.SeedSequence([campaign_seed, round, PHASES.index(phase), number]).generate_state(1)
    return int(words[0])


def evaluation_seed(campaign_seed: int, candidate: Candidate) -> int:
    """The seed the oracles get for this candidate, in whatever order candidates are evaluated."""
    number = int(candidate.id.partition("-")[2])
    return phase_seed(campaign_seed, candidate.round, "evaluate", number)
