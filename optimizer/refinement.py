"""Retraining the generator on what was measured, and keeping the result only where nothing was lost by it.

Every refinement starts from the generator the campaign began with, so that small losses do not add up, and is judged
against it on crystals and latents that stay the same for the whole campaign; the surrogate is judged against the one
in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from campaigns.errors import UserError
from campaigns.ledger import GeneratorRecord
from campaigns.spec import Refinement
from campaigns.store import CampaignStore
from generative.evaluation import prior_samples, reconstruction
from generative.protocols import Generator
from generative.refinement import rank_weights
from optimizer.build import Parts
from optimizer.evidence import Evidence, evidence, fitted_to, observed_values
from optimizer.objective import CampaignObjective
from optimizer.phases import Report, phase_seed

SAMPLES = 500
LARGEST_LOSS = 0.01  # of a share: one point
JUDGED = ("reconstruction", "valid", "unique")


def refinement_due(store: CampaignStore, objective: CampaignObjective, round: int) -> bool:
    """Does the schedule ask for a refinement after this round? A function of the spec and of rounds up to this one."""
    schedule = store.spec.refine
    if not isinstance(schedule, Refinement) or round == 0:
        return False
    if schedule.every is not None:
        return round % schedule.every == 0
    last = max((r.round for r in store.rounds() if r.phase == "refine" and r.round < round), default=0)
    stalled = schedule.stalled_rounds or 0
    return round - last >= stalled and _rounds_without_gain(store, objective, round) >= stalled


def _rounds_without_gain(store: CampaignStore, objective: CampaignObjective, round: int) -> int:
    """How many rounds up to this one have passed since the best feasible candidate was found."""
    seen = [(candidate.round, observed_values(stages, objective)) for candidate, stages in store.evaluated()]
    values = {n: [value for when, value in seen if when <= n] for n in range(round + 1)}
    reference = objective.reference(values[round])
    best = [objective.progress(values[n], reference) for n in range(round + 1)]
    gains = [n for n, (before, after) in enumerate(pairwise(best), start=1) if after is not None and after != before]
    return round - max(gains, default=0)


def refine_phase(parts: Parts, store: CampaignStore, round: int, report: Report) -> Parts:
    """Retrain, judge, and write the verdict; returns the parts to go on with."""
    known = evidence(parts, store)
    order = [i for i in parts.objective.ranking(known.values) if parts.objective.complete(known.values[i])]
    figures: dict[str, Any] = {"crystals": len(order)}
    base = parts.base
    report(f"retraining the generator on {len(order)} measured crystals")
    try:
        new = base.refine(
            [known.measured[i] for i in order],
            rank_weights(len(order)).tolist(),
            seed=phase_seed(parts.spec.seed, round, "refine"),
        )
    except ValueError as error:
        figures |= {"accepted": False, "why": str(error)}
        store.finish_phase(round, "refine", figures=figures, latents={parts.generator.version: known.new})
        report(f"the generator stays: {error}")
        return parts
    report("judging the retrained generator")
    refined = replace(parts, generator=new)
    moved = evidence(refined, store)
    figures |= {
        "generator": new.version,
        "before": _earlier_judgement(store) or judged(base, base),
        "after": judged(new, base),
        "surrogate_before": leave_one_out_score(parts, known),  # both are fitted anew
        "surrogate_after": leave_one_out_score(refined, moved),
        "latents": moved.figures(),
    }
    why = losses(figures)
    figures |= {"accepted": not why, "why": "; ".join(why)}
    record = GeneratorRecord(new.version, None if why else store.artifacts.put(new.serialized()), figures, not why)
    latents = {parts.generator.version: known.new} | ({} if why else {new.version: moved.new})
    store.finish_phase(round, "refine", figures=figures, generator=record, latents=latents)
    report(f"the generator stays: {figures['why']}" if why else f"goes on with the retrained generator {new.version}")
    return parts if why else refined


def judged(generator: Generator, base: Generator) -> dict[str, float | None]:
    """Shares: held-out crystals reconstructed, prior samples valid and unique. `base` names the held-out crystals."""
    crystals = base.held_out()
    samples = prior_samples(generator, SAMPLES, 0)
    matched = reconstruction(generator, crystals).match if crystals else None
    return {"reconstruction": matched, "valid": samples.valid, "unique": samples.unique}


def _earlier_judgement(store: CampaignStore) -> Mapping[str, Any] | None:
    """Figures of the generator the campaign began with, where an earlier refinement took them."""
    taken = [r.figures["before"] for r in store.rounds() if r.phase == "refine" and "before" in r.figures]
    return taken[0] if taken else None


def leave_one_out_score(parts: Parts, known: Evidence) -> float | None:
    """Mean over the outcomes of the surrogate's leave-one-out log score, nats per row; None where nothing is fitted.

    Hyperparameters of an earlier fit are left alone: they have seen fewer rows, and score lower for it.
    """
    if not known.latents:
        return None
    outcomes = fitted_to(parts, replace(known, last_fit={}))[1].report.outcomes
    scores = [each["loo_log_score"] for each in outcomes.values() if each.get("loo_log_score") is not None]
    return float(np.mean(scores)) if scores else None


def losses(figures: Mapping[str, Any]) -> list[str]:
    """What speaks against the new generator; empty where nothing does."""
    before, after = figures["before"], figures["after"]
    found = [
        f"{name} fell from {before[name]:.1%} to {after[name]:.1%}"
        for name in JUDGED
        if before[name] is not None and after[name] < before[name] - LARGEST_LOSS - 1e-9
    ]
    old, new = figures["surrogate_before"], figures["surrogate_after"]
    if old is not None and new is not None and new < old:
        found.append(f"the surrogate's leave-one-out score fell from {old:.3f} to {new:.3f} nats")
    return found


def current_generator(parts: Parts, store: CampaignStore) -> Parts:
    """`parts` with the generator the ledger says is in use; the same parts where they have it already.

    Raises UserError where the campaign was started with another generator than the installed one.
    """
    base, records = parts.base, store.generators()
    if records and records[0].version != base.version:
        raise UserError(
            f"{store.folder}: was started with the generator {records[0].version}, and {base.version} is installed.",
            "Install the version that started it, or begin a new campaign with `start: {kind: ledger, path: ...}`.",
        )
    store.add_generator(base.version, None, {}, accepted=True)
    accepted = [record for record in records if record.accepted and record.artifact is not None]
    if not accepted or accepted[-1].version == parts.generator.version:
        return parts
    return replace(parts, generator=base.restored(store.artifacts.get(accepted[-1].artifact or "")))
