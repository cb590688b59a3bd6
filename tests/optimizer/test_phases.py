"""Every phase draws from a seed of its own."""

from __future__ import annotations

from optimizer.phases import PHASES, phase_seed


def test_every_phase_of_every_round_has_a_seed_of_its_own():
    seeds = [phase_seed(s, r, p, n) for s in (0, 1) for r in range(3) for p in PHASES for n in range(3)]
    assert len(set(seeds)) == len(seeds)
    assert phase_seed(0, 1, "propose") == phase_seed(0, 1, "propose")
