"""Records <-> rows of the ledger."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from sys import intern
from typing import Any

from pymatgen.core import Structure
from sqlalchemy import Row

from campaigns.crystals import crystal_to_json, crystal_to_read
from campaigns.errors import LedgerError
from campaigns.ledger import GeneratorRecord, Latent
from campaigns.records import Candidate, Failed, FailureCode, Measured, StageOutcome

CANDIDATE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""Ids name files and folders, and a ledger may come from anybody."""


def candidate_row(candidate: Candidate) -> dict[str, Any]:
    """Raises ValueError for an id that could name a file elsewhere, and for a disordered crystal."""
    if not CANDIDATE_ID.fullmatch(candidate.id):
        raise ValueError(f"{candidate.id!r} is no id of a candidate: letters, digits, '_', '.' and '-', at most 64")
    return {
        "id": candidate.id,
        "round": candidate.round,
        "arm": candidate.arm,
        "parent": candidate.parent,
        "generator_version": candidate.generator_version,
        "crystal": crystal_to_json(candidate.crystal),
        "z": None if candidate.z is None else [float(x) for x in candidate.z],
        "predicted": {name: [float(mean), float(sd)] for name, (mean, sd) in candidate.predicted.items()},
    }


def read_candidate(row: Row[Any]) -> Candidate:
    """Raises LedgerError for an id that latentore does not write."""
    if not CANDIDATE_ID.fullmatch(row.id):
        raise LedgerError(f"the ledger holds a candidate {row.id!r}.", "No latentore wrote it; do not use it.")
    return Candidate(
        id=row.id,
        round=row.round,
        arm=intern(row.arm),
        crystal=crystal_to_read(row.crystal),
        z=row.z,
        generator_version=intern(row.generator_version),
        parent=row.parent,
        predicted={intern(name): (mean, sd) for name, (mean, sd) in (row.predicted or {}).items()},
    )


def outcome_rows(
    candidate_id: str, stages: Sequence[StageOutcome], proposed: str, package_versions: str | None
) -> list[dict[str, Any]]:
    """`proposed` is the crystal the first stage was given. Raises ValueError for what no ledger may hold."""
    if not stages:
        raise ValueError(f"candidate {candidate_id!r} has no stage to record")
    rows, given = [], proposed
    for position, stage in enumerate(stages):
        row: dict[str, Any] = {
            "candidate_id": candidate_id,
            "position": position,
            "stage": stage.stage,
            "oracle_version": stage.oracle_version,
            "package_versions": package_versions,
            "seconds": float(stage.outcome.seconds),
        }
        if isinstance(stage.outcome, Failed):
            row |= _failed(stage.outcome)
        else:
            row |= _measured(stage, stage.outcome, given)
            given = row["crystal"] or given
        rows.append(row)
    return rows


def _failed(outcome: Failed) -> dict[str, Any]:
    return {
        "failure": FailureCode(outcome.code).value,
        "message": outcome.message.replace("\0", ""),  # which PostgreSQL's text cannot hold
        "properties": {},
        "crystal": None,
        "flags": [],
        "details": {},
    }


def _measured(stage: StageOutcome, outcome: Measured, given: str) -> dict[str, Any]:
    values = {name: float(value) for name, value in outcome.values.items()}
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"{stage.stage} gave {name} = {value}; a value that does not exist must be a Failed")
    returned = crystal_to_json(outcome.crystal)
    return {
        "failure": None,
        "message": "",
        "properties": values,
        "crystal": None if returned == given else returned,
        "flags": list(outcome.flags),
        "details": dict(outcome.details),
    }


def read_outcomes(rows: Iterable[Any]) -> dict[str, tuple[StageOutcome, ...]]:
    """Rows of `outcomes`, each with its candidate's `proposed` crystal, sorted by candidate and position."""
    found: dict[str, tuple[StageOutcome, ...]] = {}
    crystal: Structure | None = None
    for row in rows:
        if row.position == 0:
            crystal = None
        if row.failure is None and (crystal is None or row.crystal is not None):
            crystal = crystal_to_read(row.crystal or row.proposed)
        outcome = _read_outcome(row, crystal)
        stage = StageOutcome(intern(row.stage), intern(row.oracle_version), outcome)
        found[row.candidate_id] = (*found.get(row.candidate_id, ()), stage)
    return found


def _read_outcome(row: Any, crystal: Structure | None) -> Measured | Failed:
    if row.failure is not None:
        return Failed(FailureCode(row.failure), row.message, row.seconds)
    assert crystal is not None  # a measured stage has one, by the caller
    return Measured(
        values={intern(name): value for name, value in row.properties.items()},
        crystal=crystal,
        flags=tuple(row.flags),
        details=row.details,
        seconds=row.seconds,
    )


def latent_rows(latents: Mapping[str, Mapping[str, Latent]]) -> list[dict[str, Any]]:
    """`latents` maps generator version to candidate id to latent."""
    return [
        {
            "candidate_id": name,
            "generator_version": version,
            "z": [float(x) for x in latent.z],
            "stands_for": latent.stands_for,
        }
        for version, of_candidate in latents.items()
        for name, latent in of_candidate.items()
    ]


def generator_row(record: GeneratorRecord, now: str) -> dict[str, Any]:
    return {
        "version": record.version,
        "artifact": record.artifact,
        "figures": dict(record.figures),
        "accepted": record.accepted,
        "added_at": record.added_at or now,
    }
