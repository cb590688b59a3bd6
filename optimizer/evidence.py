"""What a campaign knows, as the surrogate sees it: values, and latents that decode to the crystals they belong to.

Crystals are the truth, latents are caches of one generator. For a measured candidate the latent sought is one that
decodes to the relaxed crystal; where none is found, one that decodes to the crystal that was proposed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from pymatgen.core import Structure
from torch import Tensor

from campaigns.crystals import crystal_to_json
from campaigns.ledger import Latent, RoundRecord
from campaigns.records import Candidate, StageOutcome, final_crystal, first_failure, last_uncertainties, last_values
from campaigns.search_space import SearchSpace
from campaigns.store import AT_ONCE, CampaignStore
from generative.protocols import Alignment, Generator
from optimizer.build import Parts
from optimizer.horizon import Horizon
from optimizer.objective import CampaignObjective, Values
from optimizer.surrogate_inputs import guesses, input_blocks, surrogate_inputs
from optimizer.trust_region import Observation
from optimizer.working_units import WorkingUnits
from surrogates.protocols import FitHints, FittedSurrogate

FOCUS = 8  # the best candidates, near which the surrogate must be right


@dataclass(frozen=True)
class Evidence:
    """Every evaluated candidate in the order of proposal. `new` are the latents the ledger does not hold yet."""

    candidates: tuple[Candidate, ...]
    measured: tuple[Structure, ...]  # relaxed where there was a relaxation
    values: tuple[Values, ...]
    latents: Mapping[str, Latent]  # by candidate id; what could not be encoded has none
    new: Mapping[str, Latent]
    uncertainties: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # by id: stated standard deviations
    last_fit: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # the surrogate's report, by outcome
    periods: Mapping[str, int] = field(default_factory=dict)  # by id, where the trust region counts no rounds

    def history(self) -> list[Observation]:
        """What the trust region follows from."""
        return [
            Observation(self.periods.get(c.id, c.round), self.latents[c.id].z if c.id in self.latents else None, values)
            for c, values in zip(self.candidates, self.values, strict=True)
        ]

    def located(self) -> tuple[Tensor, list[Structure], list[Values]]:
        """Of every candidate with a latent: the latents `[n, d]`, the crystals they stand for, the values."""
        z, crystals, values = [], [], []
        for candidate, measured, value in zip(self.candidates, self.measured, self.values, strict=True):
            if latent := self.latents.get(candidate.id):
                z.append(latent.z)
                crystals.append(candidate.crystal if latent.stands_for == "proposed" else measured)
                values.append(value)
        return torch.tensor(z, dtype=torch.float64), crystals, values

    def noise(self, objective: CampaignObjective) -> Tensor | None:
        """Stated variance of each observation, `[n, m]`, rows as in `located`; NaN where none was stated, None where
        none ever was.
        """
        if not self.uncertainties:
            return None
        stated = [self.uncertainties.get(c.id, {}) for c in self.candidates if c.id in self.latents]
        rows = [[each.get(name, math.nan) ** 2 for name in objective.outcomes] for each in stated]
        return torch.tensor(rows, dtype=torch.float64).reshape(len(rows), len(objective.outcomes))

    def figures(self) -> dict[str, int]:
        """How many latents stand for which crystal."""
        counts = Counter(latent.stands_for for latent in self.latents.values())
        return {**counts, "none": len(self.candidates) - len(self.latents)}


def evidence(
    parts: Parts,
    store: CampaignStore,
    horizon: Horizon | None = None,
    *,
    proposed: Sequence[Candidate] | None = None,
) -> Evidence:
    """What was evaluated, with the latents of `parts.generator`; those the ledger lacks are found now. With a `horizon`
    only what lies within it. `proposed` are the store's candidates where they were read already.
    """
    rounds = store.rounds()
    if horizon is not None:
        rounds = [record for record in rounds if record.round < horizon.number]
    candidates: list[Candidate] = []
    measured: dict[str, Structure] = {}
    values: list[Values] = []
    uncertainties: dict[str, Mapping[str, float]] = {}
    everything = store.candidates_to_place(parts.generator.version) if proposed is None else proposed
    for candidate, stages in _evaluated(store, everything, horizon):
        candidates.append(candidate)
        measured[candidate.id] = _once(final_crystal(stages, candidate.crystal), candidate.crystal)
        values.append(observed_values(stages, parts.objective))
        if stated := last_uncertainties(stages):
            uncertainties[candidate.id] = stated
    known = {name: z for name, z in store.latents(parts.generator.version).items() if name in measured}
    missing = [c for c in candidates if c.id not in known]
    new = find_latents(parts.generator, parts.spec.space, missing, [measured[c.id] for c in missing])
    last_fit = _last_fit(rounds, parts.generator.version)
    periods = {} if horizon is None else horizon.periods({c.id for c in candidates if c.round == 0})
    latents = {**known, **new}
    crystals = tuple(measured.values())
    return Evidence(tuple(candidates), crystals, tuple(values), latents, new, uncertainties, last_fit, periods)


def _once(final: Structure, proposed: Structure) -> Structure:
    """The final crystal; one object where it is the proposed one."""
    return proposed if crystal_to_json(final) == crystal_to_json(proposed) else final


def _evaluated(
    store: CampaignStore, candidates: Sequence[Candidate], horizon: Horizon | None
) -> Iterator[tuple[Candidate, tuple[StageOutcome, ...]]]:
    """Those of the candidates that were evaluated, within the horizon, and their stages; AT_ONCE of them are read."""
    within = None if horizon is None else set(horizon.seen)
    for start in range(0, len(candidates), AT_ONCE):
        some = candidates[start : start + AT_ONCE]
        outcomes = store.outcomes([c.id for c in some])
        for candidate in some:
            if candidate.id in outcomes and (within is None or candidate.id in within):
                yield candidate, outcomes[candidate.id]


def _last_fit(rounds: Sequence[RoundRecord], generator_version: str) -> Mapping[str, Mapping[str, Any]]:
    """What the last round with this generator wrote of its surrogate; hyperparameters need not be found anew."""
    proposed = [r.figures for r in rounds if r.phase == "propose" and "surrogate" in r.figures]
    fits = [figures["surrogate"] for figures in proposed if figures.get("generator") == generator_version]
    return fits[-1] if fits else {}


def find_latents(
    generator: Generator, space: SearchSpace, candidates: Sequence[Candidate], measured: Sequence[Structure]
) -> dict[str, Latent]:
    """Candidate id -> latent; without an entry where neither crystal can be encoded."""
    found: dict[str, Latent] = {}
    nearest: dict[str, Latent] = {}

    def look(crystals: Mapping[str, Structure], stands_for: str) -> None:
        answers = generator.align(list(crystals.values()), within=space)
        for name, answer in zip(crystals, answers, strict=True):
            if isinstance(answer, Alignment):
                z = answer.z.tolist()
                if answer.decodes_back:
                    found[name] = Latent(z, stands_for)
                elif stands_for == "proposed" and name not in nearest and name in relaxed:
                    nearest[name] = Latent(z, "proposed")  # the relaxed crystal, which is another, has none
                else:
                    nearest.setdefault(name, Latent(z, "nearest"))

    relaxed = {c.id: x for c, x in zip(candidates, measured, strict=True) if x != c.crystal}
    look(relaxed, "relaxed")
    look({c.id: c.crystal for c in candidates if c.id not in found}, "proposed")
    for c in candidates:  # the latent it was decoded from decodes to it, if no nearer one to the encoder's mean does
        if c.id not in found and c.z is not None and c.generator_version == generator.version:
            found[c.id] = Latent(c.z, "proposed")
    return {c.id: found.get(c.id) or nearest[c.id] for c in candidates if c.id in found or c.id in nearest}


def observed_values(stages: Sequence[StageOutcome], objective: CampaignObjective) -> Values:
    """What the surrogate may learn. A failed candidate keeps what it did give, as long as it looks incomplete."""
    values = last_values(stages)
    return None if first_failure(stages) and objective.complete(values) else values


def fitted_to(parts: Parts, known: Evidence) -> tuple[Tensor, FittedSurrogate, WorkingUnits]:
    """Surrogate inputs `[n, d + p]` of everything evaluated that has a latent, the surrogate fitted to it, and
    the units of its outcomes. A property that has a guess stays in the guess's unit.
    """
    z, crystals, values = known.located()
    outcomes, predicted = parts.objective.outcomes, guesses(parts)
    y, observed = parts.objective.table(values)
    units = WorkingUnits.of(y, observed, outcomes, leave=predicted)
    factors = units.of_outcomes(outcomes)
    y = y * factors
    seen, noise, device = surrogate_inputs(parts, z, crystals), known.noise(parts.objective), parts.device
    if noise is not None:
        noise = noise * factors.square()
    hints = FitHints(
        blocks=input_blocks(parts, seen.shape[1]),
        focus=parts.objective.ranking(values)[:FOCUS],
        before=known.last_fit,
        predicted=predicted,
    )
    fitted = parts.surrogate.fit(
        seen.to(device),
        y.to(device),
        observed=observed.to(device),
        noise=None if noise is None else noise.to(device),
        hints=hints,
    )
    return seen, fitted, units
