"""Candidates whose last values come from outside: rows of a ledger, on a connection of the store.

A row stands from the moment a candidate has passed every stage that is computed here until its outcome is told. It
belongs to no process and never expires: a DFT queue or a laboratory may take months.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from campaigns.ledger import Awaited
from campaigns.records import StageOutcome
from campaigns.rows import outcome_rows, read_outcomes
from campaigns.tables import awaited, candidates


def write_awaited(
    connection: Connection, candidate_id: str, stages: Sequence[StageOutcome], proposed: str, versions: str | None
) -> None:
    """`proposed` is the crystal the first stage was given. Replaces a row that was there."""
    end_awaited(connection, candidate_id)
    rows = outcome_rows(candidate_id, stages, proposed, versions) if stages else []
    connection.execute(insert(awaited), {"candidate_id": candidate_id, "stages": rows})


def read_awaited(connection: Connection) -> list[Awaited]:
    """In the order in which the candidates were proposed."""
    query = (
        select(awaited, candidates.c.crystal.label("proposed"))
        .join(candidates, candidates.c.id == awaited.c.candidate_id)
        .order_by(candidates.c.seq)
    )
    return [
        Awaited(row.candidate_id, _stages(row.candidate_id, row.stages, row.proposed), row.handed_out_at)
        for row in connection.execute(query)
    ]


def _stages(candidate_id: str, rows: list[dict[str, Any]], proposed: str) -> tuple[StageOutcome, ...]:
    found = read_outcomes(SimpleNamespace(**row, proposed=proposed) for row in rows)
    return found.get(candidate_id, ())


def versions_awaited(connection: Connection, candidate_id: str) -> str | None:
    """Package versions of what was measured here; None where nothing was."""
    query = select(awaited.c.stages).where(awaited.c.candidate_id == candidate_id)
    rows = connection.execute(query).scalar_one_or_none() or [{}]
    return rows[0].get("package_versions")


def hand_out(connection: Connection, candidate_ids: Sequence[str]) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    wanted = awaited.c.candidate_id.in_(candidate_ids)
    connection.execute(update(awaited).where(wanted).values(handed_out_at=now))


def end_awaited(connection: Connection, candidate_id: str) -> None:
    connection.execute(delete(awaited).where(awaited.c.candidate_id == candidate_id))
