"""The list a person takes to the laboratory or the cluster.

What stands in it; `optimizer.export_formats` writes it.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from campaigns.errors import UserError
from campaigns.owner import Owner
from campaigns.records import Measured
from campaigns.spec import dump_spec
from campaigns.store import CampaignStore
from optimizer.export_formats import USUAL, Listing, not_of_lists, write_formats
from optimizer.ranking import Ranked, Ranking, rank_candidates
from optimizer.status import failures_by_stage
from optimizer.swap import replace_folder
from optimizer.verification import Verification, read_verification

if TYPE_CHECKING:
    from optimizer.references import Novelty

ENERGY = "energy_ev_atom"  # on each potential's own scale: not to be compared


@dataclass(frozen=True)
class ExportReport:
    """What was written and what was left out of it."""

    folder: Path
    ranking: Ranking
    document: Mapping[str, Any]  # what ranking.json holds


def export_campaign(
    store: CampaignStore,
    *,
    novelty: Callable[[Structure], Novelty],
    folder: Path | None = None,
    formats: Sequence[str] = USUAL,
) -> ExportReport:
    """Rank the campaign's candidates and write the list to `folder` (by default `export/` in the run folder).

    `formats` are keys of `export_formats.WRITERS`. An older list is replaced as a whole; what somebody put beside it
    in `export/` stays. See `rank_candidates` for the order and for what is left out.

    Raises UserError for a folder that holds anything but an older list of this campaign.
    """
    place = store.folder / "export" if folder is None else folder
    if folder is not None:
        _check_replaceable(place, store.spec.name)
    ranking = rank_candidates(store, novelty)
    place.parent.mkdir(parents=True, exist_ok=True)
    me = Owner.this_process()
    _sweep(place, me)
    partial = place.with_name(f".{place.name}-{me.host}-{me.pid}.partial")
    try:
        partial.mkdir(parents=True)
        listing = _listing(store, ranking)
        write_formats(partial, listing, formats)
        _carry_over(place, partial, store.spec.name)
        replace_folder(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return ExportReport(place, ranking, listing.document)


def _check_replaceable(place: Path, campaign: str) -> None:
    """Raises UserError where the list would take the place of anything but an older one."""
    if place.is_dir():
        for path in not_of_lists(place, campaign):
            name = path.relative_to(place).as_posix()
            raise UserError(f"{place}: holds {name!r}, and would be replaced.", "Give a new folder as --out.")
        if place.samefile(Path.cwd()):
            raise UserError(f"{place}: is the folder you are in, and would be replaced.", "Give a new folder as --out.")
    elif place.exists():
        raise UserError(f"{place}: is a file.", "Give a folder as --out.")


def _carry_over(old: Path, new: Path, campaign: str) -> None:
    """Notes, pictures and sessions of viewers that somebody saved beside an older list."""
    for path in not_of_lists(old, campaign):
        goal = new / path.relative_to(old)
        goal.parent.mkdir(exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, goal, symlinks=True)
        else:
            shutil.copy2(path, goal, follow_symlinks=False)


def _sweep(place: Path, me: Owner) -> None:
    """Remove what exports that were killed on this machine left half written; others may be at work."""
    for left_over in place.parent.glob(f".{place.name}-{me.host}-*.partial"):
        pid = left_over.name.removesuffix(".partial").rpartition("-")[2]
        if pid == str(me.pid) or not (pid.isdigit() and replace(me, pid=int(pid), birth="").may_live):
            shutil.rmtree(left_over, ignore_errors=True)


def listed(store: CampaignStore, ranking: Ranking) -> tuple[list[str], list[dict[str, Any]]]:
    """The columns of the list, and a row for each entry by column; None where there is no value."""
    properties = _property_order(store, ranking.entries)
    verified = read_verification(store.folder)
    rows = [{**table_row(entry, properties), **_second(entry, verified)} for entry in ranking.entries]
    columns = _columns(properties)
    return ([*columns, *(name for name in rows[0] if name not in columns)] if rows else columns), rows


def _listing(store: CampaignStore, ranking: Ranking) -> Listing:
    columns, rows = listed(store, ranking)
    document = {
        "campaign": store.spec.name,
        "provenance": dict(store.provenance),
        "spec": store.spec.model_dump(mode="json"),
        "evaluated": ranking.evaluated,
        "failed": ranking.failed,
        "failures": failures_by_stage(store),
        "duplicates_left_out": ranking.duplicates,
        "known_left_out": ranking.known,
        "outside_left_out": ranking.outside,
        "candidates": [
            {
                **row,
                "flags": (row["flags"] or "").split(),
                "stages": _stages(entry),
                "structure": json.loads(entry.crystal.to_json()),
            }
            for row, entry in zip(rows, ranking.entries, strict=True)
        ],
    }
    version = store.provenance.get("latentore", "")
    return Listing(store.spec.name, dump_spec(store.spec), version, columns, rows, document, ranking.entries)


def _property_order(store: CampaignStore, entries: Iterable[Ranked]) -> list[str]:
    """Objectives, constraints, then everything else that was measured, in the order it came."""
    names = [*store.spec.objectives, *store.spec.constraints]
    return list(dict.fromkeys([*names, *(name for entry in entries for name in entry.values)]))


def _columns(properties: list[str]) -> list[str]:
    return [
        *("rank", "id", "formula", "space_group", "space_group_number", "n_atoms"),
        *properties,
        *("feasible", "known", "nearest_known", "nearest_known_distance", "nearest_known_basis"),
        *(f"predicted_{name}_{part}" for name in properties for part in ("mean", "sd")),
        *("round", "arm", "parent", "generator_version", "oracle_seconds", "flags", "why", "file"),
    ]


def table_row(entry: Ranked, properties: list[str]) -> dict[str, Any]:
    """Column -> value; None where there is none (a property not predicted, no parent)."""
    candidate = entry.candidate
    predicted = {name: candidate.predicted.get(name, (None, None)) for name in properties}
    distance = entry.novelty.distance
    return {
        "rank": entry.rank,
        "id": candidate.id,
        "formula": entry.formula,
        "space_group": entry.space_group.symbol,
        "space_group_number": entry.space_group.number,
        "n_atoms": len(entry.crystal),
        **{name: entry.values.get(name) for name in properties},
        "feasible": entry.feasible,
        "known": "new" if entry.novelty.new else "known",
        "nearest_known": entry.novelty.nearest or None,
        "nearest_known_distance": distance if math.isfinite(distance) else None,
        "nearest_known_basis": entry.novelty.basis,
        **{f"predicted_{name}_mean": mean for name, (mean, _) in predicted.items()},
        **{f"predicted_{name}_sd": sd for name, (_, sd) in predicted.items()},
        "round": candidate.round,
        "arm": candidate.arm,
        "parent": candidate.parent,
        "generator_version": candidate.generator_version,
        "oracle_seconds": round(entry.seconds, 3),
        "flags": " ".join(entry.flags) or None,
        "why": entry.why,
        "file": candidate_file(entry),
    }


def _second(entry: Ranked, verified: Mapping[str, Verification]) -> dict[str, Any]:
    """What a second potential said, where the run was verified: its name, values and differences from the first's."""
    if not verified:
        return {}
    names = list(dict.fromkeys(name for each in verified.values() for name in each.values if name != ENERGY))
    found = verified.get(entry.candidate.id)
    row: dict[str, Any] = {"verified_by": None if found is None else found.potential}
    for name in names:
        value = None if found is None or found.failure else found.values.get(name)
        first = entry.values.get(name)
        row[f"verified_{name}"] = value
        row[f"verified_{name}_difference"] = None if value is None or first is None else value - first
    row["verification_failure"] = None if found is None else found.failure or None
    if found is not None:
        row["flags"] = " ".join([*entry.flags, *found.flags(dict(entry.values))]) or None
    return row


def candidate_file(entry: Ranked) -> str:
    """Its CIF, relative to the folder of the list."""
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in entry.candidate.id)
    return f"cif/{entry.rank:03d}_{entry.formula}_{safe}.cif"


def _stages(entry: Ranked) -> list[dict[str, Any]]:
    return [
        {
            "stage": stage.stage,
            "oracle_version": stage.oracle_version,
            "values": dict(stage.outcome.values),
            "flags": list(stage.outcome.flags),
            "details": dict(stage.outcome.details),
            "seconds": stage.outcome.seconds,
        }
        for stage in entry.stages
        if isinstance(stage.outcome, Measured)
    ]
