"""Everything a report shows, from a campaign's ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from campaigns.spec import dump_spec
from campaigns.store import CampaignStore
from optimizer.ranking import Ranking, rank_candidates
from optimizer.report.chemistry import ElementTally, periodic_table
from optimizer.report.convergence import Convergence, convergence
from optimizer.report.effort import Arms, Reason, StageCost, arms, phase_seconds, reasons, stage_costs
from optimizer.report.forecasts import Calibration, Forecast, calibrations, forecasts
from optimizer.report.latent_map import LatentMaps, latent_maps
from optimizer.report.listing import Card, Column, cards, columns
from optimizer.report.snapshot import Snapshot, take_snapshot
from optimizer.report.wording import title_of, unit_of
from optimizer.stated_units import stated_units
from optimizer.status import campaign_status
from optimizer.verification import read_verification

if TYPE_CHECKING:
    from optimizer.references import Novelty

LICENCES = "DATA-LICENSES.md"


@dataclass(frozen=True)
class ReportData:
    """What the page shows, in its order. `status` is what `optimize status --json` prints."""

    snapshot: Snapshot
    status: Mapping[str, Any]
    ranking: Ranking
    columns: tuple[Column, ...]
    cards: tuple[Card, ...]
    convergence: Convergence
    forecasts: Mapping[str, tuple[Forecast, ...]]
    calibrations: Mapping[str, tuple[Calibration, ...]]
    maps: LatentMaps
    elements: tuple[ElementTally, ...]
    reasons: tuple[Reason, ...]
    stages: tuple[StageCost, ...]
    phases: Mapping[str, float]
    arms: Arms
    spec_yaml: str
    oracle_versions: tuple[tuple[str, str], ...]
    licences: str

    def column(self, name: str) -> Column:
        """Of any property, ranked or not."""
        found = next((column for column in self.columns if column.name == name), None)
        return found or Column(name, title_of(name), unit_of(name, stated_units(self.snapshot.spec)), "")


def gather(store: CampaignStore, novelty: Callable[[Structure], Novelty]) -> ReportData:
    """From the ledger alone, and from the verification beside it where there is one; nothing is computed anew but
    symmetry and novelty of what is shown."""
    snapshot = take_snapshot(store)
    ranking = rank_candidates(store, novelty)
    status = campaign_status(store)
    shown = columns(snapshot.spec, ranking)
    made = forecasts(snapshot)
    ranks = {entry.candidate.id: entry.rank for entry in ranking.entries}
    return ReportData(
        snapshot=snapshot,
        status=status,
        ranking=ranking,
        columns=shown,
        cards=cards(snapshot.spec, ranking, read_verification(store.folder), shown),
        convergence=convergence(snapshot),
        forecasts=made,
        calibrations=calibrations(snapshot, made),
        maps=latent_maps(snapshot, novelty, ranks),
        elements=periodic_table(snapshot, [entry.crystal for entry in ranking.entries if entry.feasible]),
        reasons=reasons(snapshot, status["failures_by_stage"]),
        stages=stage_costs(snapshot),
        phases=phase_seconds(snapshot),
        arms=arms(snapshot, list(ranks)),
        spec_yaml=dump_spec(snapshot.spec),
        oracle_versions=_oracle_versions(snapshot),
        licences=data_licences(),
    )


def _oracle_versions(snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
    """Every stage with every version of it that answered."""
    pairs = ((stage.stage, stage.oracle_version) for each in snapshot.evaluated for stage in each.stages)
    return tuple(dict.fromkeys(pairs))


def data_licences() -> str:
    """The text that ships with the package: whom to credit for data and weights; "" where it was taken out."""
    beside = Path(__file__).parents[2] / LICENCES
    if beside.is_file():
        return beside.read_text("utf-8")
    try:
        return distribution("latentore").read_text(f"licenses/{LICENCES}") or ""
    except PackageNotFoundError:
        return ""
