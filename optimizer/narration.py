"""What the search does and why, in words: read from what a proposal left in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from campaigns.ledger import RoundRecord
from optimizer.objective import CampaignObjective, Values


def last_proposal(rounds: Sequence[RoundRecord]) -> RoundRecord | None:
    """The latest finished `propose`."""
    return next((record for record in reversed(rounds) if record.phase == "propose"), None)


def proposal_figures(record: RoundRecord) -> dict[str, Any]:
    """Of one proposal: `round`, `trust_region` (`length`, `centers`, `successes`, `failures`, `restarts`), `drawn` and
    `admitted` latents, `screened_out` by code, `shares` of the pool and `chosen` candidates by arm; None where the
    ledger does not say."""
    figures, pool = record.figures, record.figures.get("pool", {})
    return {
        "round": record.round,
        "trust_region": figures.get("trust_region"),
        "drawn": pool.get("drawn"),
        "admitted": pool.get("admitted"),
        "screened_out": dict(record.failures),
        "shares": pool.get("shares"),
        "chosen": figures.get("chosen_arms"),
    }


def feasibility(values: Sequence[Values], objective: CampaignObjective) -> tuple[int, int]:
    """How many of what was measured keep every constraint, and how many were measured completely."""
    complete = [each for each in values if each is not None and objective.complete(each)]
    return sum(objective.feasible(each) for each in complete), len(complete)


def why(found: Mapping[str, Any], feasible: tuple[int, int] | None = None) -> str:
    """One line of `proposal_figures`: how wide the search looks and why, who proposed, what is feasible."""
    said = []
    if region := found["trust_region"]:
        centers = f"{region['centers']} crystal{'s' * (region['centers'] != 1)}"
        said.append(f"trust region {region['length']:.2f}{_reason(region)}, around {centers}")
    if found["chosen"]:
        arms = ", ".join(f"{arm} {count}" for arm, count in sorted(found["chosen"].items(), key=lambda item: -item[1]))
        said.append(f"chosen of {found['admitted']}: {arms}")
    if found["screened_out"]:
        codes = sorted(found["screened_out"].items(), key=lambda item: -item[1])[:3]
        said.append("screened out: " + ", ".join(f"{code} {count}" for code, count in codes))
    if feasible is not None and feasible[1]:
        said.append(f"{feasible[0]} of {feasible[1]} measured are feasible")
    return "; ".join(said)


def _reason(region: Mapping[str, Any]) -> str:
    gained, stalled = region.get("successes", 0), region.get("failures", 0)
    if stalled:
        return f" after {stalled} round{'s' * (stalled > 1)} without gain"
    if gained:
        return f" after {gained} round{'s' * (gained > 1)} with a gain"
    restarts = region.get("restarts", 0)
    return f", started over {restarts} time{'s' * (restarts > 1)}" if restarts else ""
