"""Where to look next: latents around the best so far, between the good ones, and fresh from the prior.

Pure functions of what the ledger holds: the trust region is recomputed from the rounds' outcomes, never
stored, so a resumed campaign proposes what an uninterrupted one would. After TuRBO (Eriksson, Pearce,
Gardner, Turner & Poloczek, "Scalable Global Optimization via Local Bayesian Optimization", NeurIPS 2019),
with two changes. The latent prior is a standard normal and not a box, so the region's length scales an
autoregressive step that keeps that prior (preconditioned Crank-Nicolson; Cotter, Roberts, Stuart & White,
Statistical Science 28, 2013) and with it the norm the decoder was trained on. And a campaign has tens of
rounds where TuRBO has hundreds of evaluations, so the counters wait for fewer of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from optimizer.objective import CampaignObjective, Values

INITIAL_LENGTH, SMALLEST_LENGTH, LARGEST_LENGTH = 0.8, 0.8 / 2**4, 1.6
SUCCESS_TOLERANCE = 2  # rounds with an improvement in a row before the length doubles
FAILURE_TOLERANCE = 2  # rounds without one in a row before it halves
LEAST_GAIN = 1e-3  # relative improvement that counts, as in TuRBO
MOVED_DIMENSIONS = 20  # expected number of coordinates a perturbation moves, as in TuRBO
STEP_SCALES = (0.25, 0.5, 1.0)  # times the length
CROSSOVER_JITTER = 0.1

ARMS = ("trust_region", "crossover", "substitution", "prior")


@dataclass(frozen=True)
class Observation:
    """One evaluated candidate. Round 0 is the start; `z` is None where it has no latent, `values` where it
    failed.
    """

    round: int
    z: Sequence[float] | None
    values: Values


@dataclass(frozen=True)
class TrustRegion:
    """`centers [k, d]`, best first (k may be 0), and the step length, in units of the prior's standard
    deviation.
    """

    centers: Tensor
    length: float
    successes: int = 0  # rounds in a row that improved, and that did not
    failures: int = 0
    restarts: int = 0  # times the length fell below its minimum and started over


def trust_region(
    history: Sequence[Observation], objective: CampaignObjective, d: int, *, centers: int = 8
) -> TrustRegion:
    """The region that follows from all evaluated candidates, in the order of proposal.

    Centres are the best latents by `CampaignObjective.ranking`: feasible ones, and only where there is none
    the least violating. Raises ValueError where a latent is not `[d]`.
    """
    located = [item for item in history if item.z is not None]
    values = [item.values for item in located]
    order = objective.ranking(values)
    feasible = [i for i in order if objective.feasible(values[i])]
    best = [located[i].z for i in (feasible or order)[:centers]]
    if any(z is None or len(z) != d for z in best):
        raise ValueError(f"every latent must have {d} entries")
    length, successes, failures, restarts = _length(history, objective)
    points = torch.tensor(best, dtype=torch.float64).reshape(len(best), d)
    return TrustRegion(points, length, successes, failures, restarts)


def _length(history: Sequence[Observation], objective: CampaignObjective) -> tuple[float, int, int, int]:
    """Replay TuRBO's counters: the length, the running successes and failures, and the restarts."""
    length, successes, failures, restarts = INITIAL_LENGTH, 0, 0, 0
    levels = _progress_by_round(history, objective)
    for before, after in pairwise(levels):
        least = before[1] + LEAST_GAIN * abs(before[1]) if math.isfinite(before[1]) else before[1]
        improved = after[0] > before[0] or after[1] > least
        successes, failures = (successes + 1, 0) if improved else (0, failures + 1)
        if successes == SUCCESS_TOLERANCE:
            length, successes = min(2 * length, LARGEST_LENGTH), 0
        elif failures == FAILURE_TOLERANCE:
            length, failures = length / 2, 0
        if length < SMALLEST_LENGTH:
            length, restarts = INITIAL_LENGTH, restarts + 1
    return length, successes, failures, restarts


def _progress_by_round(history: Sequence[Observation], objective: CampaignObjective) -> list[tuple[int, float]]:
    """Best so far after each round: (1, progress) once one is feasible, (0, -least violation) before."""
    reference = objective.reference([item.values for item in history])
    by_round: dict[int, list[Values]] = {}
    for item in history:
        by_round.setdefault(item.round, []).append(item.values)
    levels: list[tuple[int, float]] = []
    leading: list[Values] = []  # who is not beaten so far: progress rests on them alone
    closest = -math.inf
    for number in sorted(by_round):
        found = [*leading, *by_round[number]]
        leading = [found[i] for i in objective.front(found)]
        closest = max([closest, *(-objective.violation(values) for values in by_round[number])])
        progress = objective.progress(leading, reference)
        levels.append((0, closest) if progress is None else (1, progress))
    return levels


def latent_pool(
    region: TrustRegion, n: int, d: int, seed: int, *, mix: Mapping[str, float]
) -> tuple[Tensor, tuple[str, ...]]:
    """n latents to decode, float64 `[n, d]`, and for each row the arm that made it. Deterministic from
    `seed`.

    Arms: "trust_region" moves a random subset of a centre's coordinates at one of several scales, "crossover"
    mixes two centres (on the sphere between them, or coordinate by coordinate), "substitution" holds centres
    as they are, for the generator to find relatives of, "prior" draws from N(0, I). `mix` gives their shares.
    Without centres everything comes from the prior; with one, crossover has no second parent and its share
    goes to "trust_region". Rows are shuffled, so a prefix holds the arms in about their shares.
    """
    if unknown := set(mix) - set(ARMS):
        raise ValueError(f"unknown arms {sorted(unknown)}; choose among {sorted(ARMS)}")
    counts = _counts(n, mix, len(region.centers))
    generator = torch.Generator().manual_seed(seed)
    parts = [
        _perturbed(region, counts["trust_region"], d, generator),
        _crossed(region.centers, counts["crossover"], d, generator),
        region.centers[_pick(len(region.centers), counts["substitution"], generator)],
        torch.randn(counts["prior"], d, generator=generator, dtype=torch.float64),
    ]
    arms = [arm for arm, count in counts.items() for _ in range(count)]
    order = torch.randperm(n, generator=generator)
    return torch.cat(parts)[order], tuple(arms[i] for i in order.tolist())


def _counts(n: int, mix: Mapping[str, float], centers: int) -> dict[str, int]:
    """Rows per arm, in the order of ARMS; they sum to n."""
    shares = {arm: mix.get(arm, 0.0) for arm in ARMS}
    if centers == 0:
        shares = dict.fromkeys(ARMS, 0.0) | {"prior": 1.0}
    elif centers == 1:
        shares["trust_region"] += shares["crossover"]
        shares["crossover"] = 0.0
    total = sum(shares.values())
    if total <= 0 or min(shares.values()) < 0:
        raise ValueError("shares must not be negative and must not all be 0")
    counts = {arm: int(n * share / total) for arm, share in shares.items()}
    counts[max(shares, key=lambda arm: shares[arm])] += n - sum(counts.values())
    return counts


def _pick(centers: int, n: int, generator: torch.Generator) -> Tensor:
    """n centre indices, the r-th best with weight 1 / r."""
    weights = torch.arange(1, centers + 1, dtype=torch.float64).reciprocal()
    if n == 0:
        return torch.empty(0, dtype=torch.long)
    return torch.multinomial(weights, n, replacement=True, generator=generator)


def _autoregressive(z: Tensor, step: Tensor | float, generator: torch.Generator) -> Tensor:
    """sqrt(1 - step^2) z + step noise: leaves N(0, I) as it is for any step in [0, 1]."""
    step = torch.as_tensor(step, dtype=z.dtype)
    noise = torch.randn(z.shape, generator=generator, dtype=z.dtype)
    return (1 - step.square()).sqrt() * z + step * noise


def _perturbed(region: TrustRegion, n: int, d: int, generator: torch.Generator) -> Tensor:
    if n == 0:
        return torch.empty(0, d, dtype=torch.float64)
    z = region.centers[_pick(len(region.centers), n, generator)]
    scales = torch.tensor(STEP_SCALES, dtype=torch.float64) * region.length
    step = scales.clamp_max(1.0)[torch.randint(len(STEP_SCALES), (n, 1), generator=generator)]
    moved = torch.rand(n, d, generator=generator, dtype=torch.float64) < min(1.0, MOVED_DIMENSIONS / d)
    moved[torch.arange(n), torch.randint(d, (n,), generator=generator)] = True  # at least one moves
    return torch.where(moved, _autoregressive(z, step, generator), z)


def _crossed(centers: Tensor, n: int, d: int, generator: torch.Generator) -> Tensor:
    if n == 0:
        return torch.empty(0, d, dtype=torch.float64)
    first = _pick(len(centers), n, generator)
    second = (first + torch.randint(1, len(centers), (n,), generator=generator)) % len(centers)
    left, right = centers[first], centers[second]
    weight = torch.rand(n, 1, generator=generator, dtype=torch.float64)
    by_coordinate = torch.where(torch.rand(n, d, generator=generator, dtype=torch.float64) < weight, left, right)
    on_sphere = spherical_interpolation(left, right, weight)
    child = torch.where(torch.rand(n, 1, generator=generator, dtype=torch.float64) < 0.5, by_coordinate, on_sphere)
    return _autoregressive(child, CROSSOVER_JITTER, generator)


def spherical_interpolation(left: Tensor, right: Tensor, weight: Tensor) -> Tensor:
    """Between `left` (weight 1) and `right` (weight 0), `[n, d]`: along the great circle, the norm linear in
    between.

    Straight interpolation shrinks the norm below anything the prior holds (White, "Sampling Generative
    Networks", 2016). Opposite, parallel or zero vectors, for which no great circle is defined, are joined by
    a straight line.
    """
    norms = left.norm(dim=-1, keepdim=True), right.norm(dim=-1, keepdim=True)
    cosine = (left * right).sum(-1, keepdim=True) / (norms[0] * norms[1]).clamp_min(1e-12)
    angle = cosine.clamp(-1, 1).acos()
    sine = angle.sin()
    curved = sine > 1e-6
    safe = torch.where(curved, sine, torch.ones_like(sine))
    unit = [vector / norm.clamp_min(1e-12) for vector, norm in zip((left, right), norms, strict=True)]
    direction = ((weight * angle).sin() * unit[0] + ((1 - weight) * angle).sin() * unit[1]) / safe
    norm = weight * norms[0] + (1 - weight) * norms[1]
    return torch.where(curved, norm * direction, weight * left + (1 - weight) * right)
