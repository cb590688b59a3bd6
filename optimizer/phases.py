"""The phases of a round. Each ends in one transaction and draws from its own seed, so a resumed run repeats nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pymatgen.core import Structure
from torch import Tensor

from campaigns.errors import SpecError
from campaigns.records import (
    Candidate,
    FailureCode,
    Measured,
    StageOutcome,
    first_failure,
    last_values,
)
from campaigns.store import CampaignStore
from generative.protocols import DecodeFailure
from generative.representations.wyckoff import fingerprint
from optimizer.admission import Admitted, admit
from optimizer.build import Parts
from optimizer.descriptors import KNOWN_HULL, descriptors
from optimizer.objective import CampaignObjective, Values
from optimizer.protocols import ProposalContext, Start, StartCrystal
from optimizer.trust_region import Observation, latent_pool, trust_region
from surrogates.protocols import FittedSurrogate

PHASES = ("start", "propose", "evaluate", "refine")
Report = Callable[[str], None]
FORMATION_ENERGY = "formation_energy_ev_atom"


def phase_seed(campaign_seed: int, round: int, phase: str, number: int = 0) -> int:
    """A seed of its own for every phase of every round (and candidate `number` in it)."""
    words = np.random.SeedSequence([campaign_seed, round, PHASES.index(phase), number]).generate_state(1)
    return int(words[0])


def start_phase(parts: Parts, store: CampaignStore, report: Report) -> None:
    """Round 0: propose the crystals the campaign begins with; those that came with values are measured already."""
    if store.phase_done(0, "start"):
        _record_labels(store)
        return
    seen: set[str] = set()
    found: list[tuple[str, StartCrystal]] = []
    failures: Counter[str] = Counter()
    budget = parts.spec.budget.oracle_calls
    for place, (kind, start) in enumerate(parts.starts):
        charged = sum(each.values is None for _, each in found)
        given = _given(parts, start, place)
        taken, refused = _admitted_start(parts, start, given, seen, budget - charged)
        failures.update({code.value: count for code, count in refused.items()})
        found += [(kind, each) for each in taken]
        why = ", ".join(f"{code.value} {count}" for code, count in refused.most_common())
        report(f"{kind} gave {len(taken)} crystals" + (f"; not taken: {why}" if why else ""))
    latents = _latents_of(parts, [each for _, each in found])
    version = parts.generator.version
    candidates = [
        Candidate(f"000-{i:04d}", 0, kind, each.crystal, z, version, parent=each.source or None)
        for i, ((kind, each), z) in enumerate(zip(found, latents, strict=True))
    ]
    labels = {
        c.id: dict(each.values) for c, (_, each) in zip(candidates, found, strict=True) if each.values is not None
    }
    store.finish_phase(0, "start", candidates=candidates, failures=failures, figures={"labels": labels})
    _record_labels(store)


def _record_labels(store: CampaignStore) -> None:
    """Write the values that start crystals came with as outcomes of a stage of their own: no oracle was called."""
    start = [record for record in store.rounds() if (record.round, record.phase) == (0, "start")]
    labels: Mapping[str, Mapping[str, float]] = start[0].figures["labels"]
    waiting = {c.id: c for c in store.pending()} if labels else {}
    for name, values in labels.items():
        if name in waiting:
            outcome = Measured(values, waiting[name].crystal, flags=("given_value",))
            store.record(name, [StageOutcome("given", "given", outcome)])


def _given(parts: Parts, start: Start, place: int) -> Iterator[StartCrystal | DecodeFailure]:
    """What a start gives. Its file may have changed since it was checked: that is for a person to mend."""
    seed = phase_seed(parts.spec.seed, 0, "start", place)
    try:
        yield from start.crystals(parts.generator, parts.spec.space, seed=seed)
    except ValueError as error:
        raise SpecError(f"start.{place}", " ".join(str(error).split())) from error


def _admitted_start(
    parts: Parts,
    start: Start,
    given: Iterator[StartCrystal | DecodeFailure],
    seen: set[str],
    budget: int,
) -> tuple[list[StartCrystal], Counter[FailureCode]]:
    """Crystals of one start that pass: labelled ones only need to be unique, the others the whole screen."""
    taken: list[StartCrystal] = []
    failures: Counter[FailureCode] = Counter()
    for each in given:
        if isinstance(each, DecodeFailure):
            failures[each.code] += 1
        elif each.values is not None:
            mark = fingerprint(each.crystal)
            if isinstance(mark, str) and mark in seen:
                failures[FailureCode.DUPLICATE] += 1
            else:
                seen.update([mark] if isinstance(mark, str) else [])
                taken.append(each)
        else:
            if sum(t.values is None for t in taken) >= budget:
                break
            passed, refused = admit(
                [each.crystal], parts.spec.space, parts.references, seen, allow_known=start.allow_known
            )
            failures.update(refused)
            taken += [each] if passed else []
        if start.limit is not None and len(taken) >= start.limit:
            break
    return taken, failures


def _latents_of(parts: Parts, found: Sequence[StartCrystal]) -> list[tuple[float, ...] | None]:
    """The latent each was decoded from, else its encoding, else None."""
    unknown = [i for i, each in enumerate(found) if each.z is None]
    encoded = (
        dict(zip(unknown, parts.generator.encode([found[i].crystal for i in unknown]), strict=True)) if unknown else {}
    )
    latents: list[tuple[float, ...] | None] = []
    for i, each in enumerate(found):
        z = each.z if each.z is not None else encoded[i]
        latents.append(tuple(z.tolist()) if isinstance(z, Tensor) else None)
    return latents


def history(store: CampaignStore, objective: CampaignObjective) -> list[Observation]:
    """Every evaluated candidate in the order of proposal, with what was measured before it failed, if it did."""
    outcomes = store.outcomes()
    return [
        Observation(candidate.round, candidate.z, observed_values(outcomes[candidate.id], objective))
        for candidate in store.candidates()
        if candidate.id in outcomes
    ]


def observed_values(stages: Sequence[StageOutcome], objective: CampaignObjective) -> Values:
    """What the surrogate may learn. A failed candidate keeps what it did give, as long as it looks incomplete."""
    values = last_values(stages)
    return None if first_failure(stages) and objective.complete(values) else values


def propose_phase(parts: Parts, store: CampaignStore, round: int, q: int, report: Report) -> int:
    """Fit, decode a pool, screen it, choose a batch, write it. Returns how many candidates the round has."""
    if store.phase_done(round, "propose"):
        return len(store.candidates(round))
    seed = phase_seed(parts.spec.seed, round, "propose")
    seen_so_far = history(store, parts.objective)
    region = trust_region(seen_so_far, parts.objective, parts.generator.latent_dim)
    report(f"decoding {parts.spec.pool_size} latents (trust region {region.length:.2f})")
    pool, arms = latent_pool(region, parts.spec.pool_size, parts.generator.latent_dim, seed)
    decoded = parts.generator.decode(pool, within=parts.spec.space, seed=seed)
    admitted, failures = admit(decoded, parts.spec.space, parts.references, _marks(store))
    figures: dict[str, Any] = {
        "pool": {
            "drawn": len(pool),
            "admitted": len(admitted),
            "arms": dict(Counter(arms[a.index] for a in admitted)),
        },
        "trust_region": {
            "length": region.length,
            "restarts": region.restarts,
            "centers": len(region.centers),
        },
    }
    candidates: list[Candidate] = []
    if admitted and any(item.z is not None for item in seen_so_far):
        report(f"choosing {q} of {len(admitted)} admitted crystals")
        candidates = _choose(parts, store, admitted, pool, arms, round, q, seed, figures)
    elif admitted:  # nothing measured has a latent: there is nothing to fit, the pool is prior samples in random order
        figures["criterion"] = "prior samples: nothing measured yet has a latent"
        candidates = [_candidate(parts, round, i, a, pool, arms[a.index], {}) for i, a in enumerate(admitted[:q])]
    store.finish_phase(
        round,
        "propose",
        candidates=candidates,
        failures={code.value: count for code, count in failures.items()},
        figures=figures,
    )
    return len(candidates)


def _marks(store: CampaignStore) -> set[str]:
    return {mark for c in store.candidates() if isinstance(mark := fingerprint(c.crystal), str)}


def surrogate_inputs(parts: Parts, z: Tensor, crystals: Sequence[Structure]) -> Tensor:
    """What the surrogate sees of n crystals: the latents `z [n, d]`, then, unless the campaign leaves them out, the
    crystals' descriptors, the generator's own predictions, and the distance from the known hull that follows from its
    formation energy. `[n, d + p]` float64.

    Distances in z alone say little while there are tens of observations in 64 dimensions; composition and volume
    carry the main trend of most properties, and the latents what they leave over.
    """
    if not parts.spec.descriptors:
        return z
    described = descriptors(crystals, parts.references)
    predicted = parts.generator.predict(z)
    columns = [predicted[name] for name in sorted(predicted)]
    if FORMATION_ENERGY in predicted:
        columns.append(predicted[FORMATION_ENERGY] - described[:, KNOWN_HULL])
    return torch.cat([z, described, *(column[:, None] for column in columns)], dim=1)


def _choose(
    parts: Parts,
    store: CampaignStore,
    admitted: Sequence[Admitted],
    pool: Tensor,
    arms: Sequence[str],
    round: int,
    q: int,
    seed: int,
    figures: dict[str, Any],
) -> list[Candidate]:
    """Fit the surrogate to everything evaluated that has a latent, and let the acquisition choose q admitted ones."""
    outcomes = store.outcomes()
    known = [c for c in store.candidates() if c.id in outcomes and c.z is not None]
    y, observed = parts.objective.table([observed_values(outcomes[c.id], parts.objective) for c in known])
    latents = torch.tensor([c.z for c in known], dtype=torch.float64)
    seen = surrogate_inputs(parts, latents, [c.crystal for c in known])
    offered = surrogate_inputs(parts, pool[[a.index for a in admitted]], [a.crystal for a in admitted])
    device = parts.device
    fitted = parts.surrogate.fit(seen.to(device), y.to(device), observed=observed.to(device))
    context = ProposalContext(
        pool=offered,
        observed_z=seen,
        pending=torch.empty(0, seen.shape[1], dtype=torch.float64),
        device=device,
        space=parts.spec.space,
    )
    chosen = parts.acquisition.propose(fitted, parts.objective, context, q=q, seed=seed).tolist()
    predicted = _predictions(parts, fitted, offered[chosen])
    figures["surrogate"] = dict(fitted.report.outcomes)
    figures["chosen_arms"] = dict(Counter(arms[admitted[i].index] for i in chosen))
    return [
        _candidate(parts, round, n, admitted[i], pool, arms[admitted[i].index], predicted[n])
        for n, i in enumerate(chosen)
    ]


def _candidate(
    parts: Parts,
    round: int,
    number: int,
    admitted: Admitted,
    pool: Tensor,
    arm: str,
    predicted: Mapping[str, tuple[float, float]],
) -> Candidate:
    z = tuple(pool[admitted.index].tolist())
    name = f"{round:03d}-{number:04d}"
    return Candidate(name, round, arm, admitted.crystal, z, parts.generator.version, predicted=predicted)


def _predictions(parts: Parts, fitted: FittedSurrogate, z: Tensor) -> list[dict[str, tuple[float, float]]]:
    """Posterior mean and standard deviation of every property at each row of `z`, in the property's unit."""
    with torch.no_grad():
        posterior: Any = fitted.model.posterior(z.to(parts.device))
        mean, sd = posterior.mean.cpu(), posterior.variance.sqrt().cpu()
    names = parts.objective.properties
    return [{name: (float(m[j]), float(s[j])) for j, name in enumerate(names)} for m, s in zip(mean, sd, strict=True)]
