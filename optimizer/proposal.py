"""Proposing a round: fit, decode a pool, screen it, choose a batch, write it down before anything is evaluated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from campaigns.ledger import Latent
from campaigns.records import Candidate
from campaigns.store import CampaignStore
from generative.representations.wyckoff import fingerprint
from optimizer.ascent import Offer, climb, latents_of_ascent
from optimizer.build import Parts
from optimizer.evidence import Evidence, evidence, fitted_to
from optimizer.horizon import Horizon
from optimizer.phases import Report, phase_seed
from optimizer.pool import Pool, encoded, pool_of
from optimizer.portfolio import ASCENT, arm_shares
from optimizer.row_memory import remembered
from optimizer.surrogate_inputs import surrogate_inputs
from optimizer.trust_region import trust_region
from optimizer.working_units import WorkingUnits
from surrogates.protocols import FittedSurrogate


@dataclass(frozen=True)
class Proposal:
    """What a round is proposed to measure, and why; nothing of it is written yet."""

    round: int
    candidates: tuple[Candidate, ...]
    failures: Mapping[str, int]  # of the pool, by code
    figures: Mapping[str, Any]
    latents: Mapping[str, Mapping[str, Latent]]  # found on the way, by generator version and candidate id

    def write(self, store: CampaignStore, **figures: Any) -> None:
        """One transaction; further `figures` stand beside its own."""
        store.finish_phase(
            self.round,
            "propose",
            candidates=self.candidates,
            failures=self.failures,
            figures={**self.figures, **figures},
            latents=self.latents,
        )


def propose_phase(parts: Parts, store: CampaignStore, round: int, q: int, report: Report) -> int:
    """Propose the round from all that is known, and write it. Returns how many candidates the round has."""
    if store.phase_done(round, "propose"):
        return len(store.candidates(round))
    made = proposal(parts, store, round, q, report)
    made.write(store)
    return len(made.candidates)


def proposal(
    parts: Parts, store: CampaignStore, round: int, q: int, report: Report, horizon: Horizon | None = None
) -> Proposal:
    """Fit, decode a pool, screen it, choose a batch of q. With a `horizon` it is a function of the campaign's seed, the
    round's number and the outcomes within that horizon, whatever else the ledger holds.
    """
    seed = phase_seed(parts.spec.seed, round, "propose")
    proposed = store.candidates_to_place(parts.generator.version)
    known = evidence(parts, store, horizon, proposed=proposed)
    proposed = [c for c in proposed if c.round < round]
    region = trust_region(known.history(), parts.objective, parts.generator.latent_dim)
    shares = arm_shares([c.arm for c in known.candidates], known.values, parts.objective)
    marks = _marks(proposed, known)
    later = latents_of_ascent(parts, shares) if known.latents else 0  # there is nothing to climb by without a surrogate
    report(f"making a pool (trust region {region.length:.2f})")
    mix = {arm: share for arm, share in shares.items() if arm != ASCENT}
    pool, failures = pool_of(parts, region, mix, parts.spec.pool_size - later, marks, seed)
    figures: dict[str, Any] = {
        "trust_region": {
            "length": region.length,
            "successes": region.successes,
            "failures": region.failures,
            "restarts": region.restarts,
            "centers": len(region.centers),
        },
        "latents": known.figures(),
    }
    candidates: list[Candidate] = []
    if len(pool) and known.latents:
        observed, fitted, units = fitted_to(parts, known)
        figures |= {"surrogate": units.report(fitted.report.outcomes), "generator": parts.generator.version}
        pending = _pending_inputs(parts, _waiting(proposed, known), observed.shape[1])
        offer = Offer(pool, pool.inputs(parts), fitted, observed, pending, units.objective(parts.objective))
        if later:
            report(f"climbing from {len(pool)} admitted crystals")
            offer = climb(parts, offer, later, marks, failures, round)
        pool = offer.pool
        report(f"choosing {q} of {len(pool)} admitted crystals")
        chosen = offer.chosen(parts, q, seed)
        figures["chosen_arms"] = dict(Counter(pool.arms[i] for i in chosen))
        predicted = _predictions(parts, fitted, units, offer.inputs[chosen])
        candidates = [_candidate(parts, round, n, pool, i, predicted[n]) for n, i in enumerate(chosen)]
    elif len(pool):  # nothing measured has a latent: there is nothing to fit
        figures["criterion"] = "at random: nothing measured yet has a latent"
        drawn = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))[:q].tolist()
        candidates = [_candidate(parts, round, n, pool, i, {}) for n, i in enumerate(drawn)]
    arms = dict(Counter(pool.arms))
    figures["pool"] = {"drawn": _drawn(parts), "admitted": len(pool), "shares": shares, "arms": arms}
    return Proposal(
        round,
        tuple(candidates),
        {code.value: count for code, count in failures.items()},
        figures,
        {parts.generator.version: known.new},
    )


def _drawn(parts: Parts) -> int:
    """Latents decoded, and crystals of the list."""
    latents = 0 if parts.spec.only_listed else parts.spec.pool_size
    return latents + (0 if parts.listed is None else len(parts.listed.crystals))


def _marks(proposed: Sequence[Candidate], known: Evidence) -> set[str]:
    """Fingerprints of everything proposed, and of what it relaxed to: measured already."""
    crystals = [*(c.crystal for c in proposed), *known.measured]
    marks = remembered(crystals, "fingerprint", lambda some: [fingerprint(x) for x in some])
    return {mark for mark in marks if isinstance(mark, str)}


def _waiting(proposed: Sequence[Candidate], known: Evidence) -> list[Candidate]:
    """What is proposed and not measured yet."""
    evaluated = {c.id for c in known.candidates}
    return [c for c in proposed if c.id not in evaluated]


def _pending_inputs(parts: Parts, pending: Sequence[Candidate], width: int) -> Tensor:
    """Surrogate inputs `[p, width]` of what was proposed and is not measured yet; what cannot be encoded and was not
    decoded by this generator is left out.
    """
    means = parts.generator.encode([c.crystal for c in pending])
    own = [c.z if c.generator_version == parts.generator.version else None for c in pending]
    placed = [(c, z) for c, mean, z in zip(pending, means, own, strict=True) if isinstance(mean, Tensor) or z]
    if not placed:
        return torch.empty(0, width, dtype=torch.float64)
    crystals = [c.crystal for c, _ in placed]
    latents = encoded(parts, crystals, [torch.tensor(z or (), dtype=torch.float64) for _, z in placed])
    return surrogate_inputs(parts, latents, crystals)


def _candidate(
    parts: Parts, round: int, number: int, pool: Pool, row: int, predicted: Mapping[str, tuple[float, float]]
) -> Candidate:
    z, version = pool.z[row].tolist(), parts.generator.version
    name = f"{round:03d}-{number:04d}"
    return Candidate(name, round, pool.arms[row], pool.crystals[row], z, version, predicted=predicted)


def _predictions(
    parts: Parts, fitted: FittedSurrogate, units: WorkingUnits, z: Tensor
) -> list[dict[str, tuple[float, float]]]:
    """Mean and standard deviation of a measurement of every property at each row of `z`, in the property's unit; of a
    property that was never measured, whose noise nothing tells, those of the property itself.
    """
    names, outcomes = parts.objective.properties, parts.objective.outcomes
    untold = torch.tensor([fitted.report.outcomes.get(name, {}).get("fallback") == "prior" for name in outcomes])
    with torch.no_grad():
        posterior: Any = fitted.model.posterior(z.to(parts.device), observation_noise=True)
        mean, variance = posterior.mean.cpu(), posterior.variance.cpu()
        if untold.any():
            itself: Any = fitted.model.posterior(z.to(parts.device))
            variance = torch.where(untold, itself.variance.cpu(), variance)
    factors = units.of_outcomes(outcomes)
    mean, sd = mean / factors, variance.sqrt() / factors
    return [{name: (float(m[j]), float(s[j])) for j, name in enumerate(names)} for m, s in zip(mean, sd, strict=True)]
