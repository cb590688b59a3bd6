"""What several transactions of the store do, on a connection of its."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, case, delete, func, insert, null, select
from sqlalchemy.exc import IntegrityError

from campaigns.errors import LedgerError
from campaigns.ledger import GeneratorRecord, Spent
from campaigns.records import NO_FAILURE
from campaigns.rows import generator_row
from campaigns.tables import candidates, generators, latents, meta, outcomes, rounds


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def meta_entry(connection: Connection, key: str) -> Any:
    """Raises LedgerError where it is missing."""
    row = connection.execute(select(meta.c.value).where(meta.c.key == key)).first()
    if row is None:
        raise LedgerError(f"the ledger lacks its {key}.", "Restore the run folder from a copy.")
    return row.value


def phase_done(connection: Connection, round: int, phase: str) -> bool:
    query = select(rounds.c.seq).where(rounds.c.round == round, rounds.c.phase == phase)
    return connection.execute(query).first() is not None


def event_row(kind: str, message: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {"at": now(), "kind": kind, "message": message.replace("\0", ""), "data": dict(data)}


def insert_candidates(connection: Connection, rows: list[dict[str, Any]]) -> None:
    try:
        connection.execute(insert(candidates), rows)
    except IntegrityError:
        ids = ", ".join(str(row["id"]) for row in rows)
        raise ValueError(f"candidate ids must be unique in the campaign, among {ids} one is not") from None


def calls_of(connection: Connection, stage: str) -> int:
    """How many candidates have entered it."""
    query = select(func.count(outcomes.c.candidate_id.distinct())).where(outcomes.c.stage == stage)
    return connection.execute(query).scalar_one()


def answered_by(connection: Connection) -> list[tuple[str, str]]:
    """Every stage with every version of its oracle that outcomes are of."""
    query = select(outcomes.c.stage, outcomes.c.oracle_version).distinct()
    return [(row.stage, row.oracle_version) for row in connection.execute(query)]


def spent_of(connection: Connection, dearest_stage: str) -> Spent:
    stage = outcomes.c.stage
    failure = outcomes.c.failure
    failures = func.count(case((failure.not_in([code.value for code in NO_FAILURE]), failure)))
    query = select(stage, func.count(), failures, func.sum(outcomes.c.seconds)).group_by(stage)
    found = connection.execute(query.order_by(func.min(outcomes.c.position), stage)).all()
    return Spent(
        calls=calls_of(connection, dearest_stage),
        stage_counts={name: count for name, count, _, _ in found},
        stage_failures={name: failed for name, _, failed, _ in found},
        stage_seconds={name: seconds for name, _, _, seconds in found},
    )


def proposed_crystal(connection: Connection, candidate_id: str) -> str:
    query = select(candidates.c.crystal).where(candidates.c.id == candidate_id)
    if (found := connection.execute(query).scalar_one_or_none()) is None:
        raise ValueError(f"candidate {candidate_id!r} was never proposed")
    return found


def insert_generator(connection: Connection, record: GeneratorRecord) -> bool:
    if connection.execute(select(generators.c.seq).where(generators.c.version == record.version)).first():
        return False
    connection.execute(insert(generators), generator_row(record, now()))
    return True


def replace_latents(connection: Connection, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        same = (latents.c.candidate_id == row["candidate_id"], latents.c.generator_version == row["generator_version"])
        connection.execute(delete(latents).where(*same))
    if not rows:
        return
    try:
        connection.execute(insert(latents), rows)
    except IntegrityError:
        raise ValueError("a latent belongs to a candidate that was never proposed") from None


def drop_outcome(connection: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Delete the stages of one candidate and its latents, which stand for what was measured; returns all it said."""
    (name,) = {row.candidate_id for row in rows}
    connection.execute(delete(outcomes).where(outcomes.c.candidate_id == name))
    connection.execute(delete(latents).where(latents.c.candidate_id == name))
    return [{name: value for name, value in row._mapping.items() if name != "candidate_id"} for row in rows]


def to_place(generator_version: str) -> Select[Any]:
    """Candidates in the order of proposal, `predicted` empty, `z` too where there is a latent under the generator."""
    placed = and_(latents.c.candidate_id == candidates.c.id, latents.c.generator_version == generator_version)
    z = case((latents.c.candidate_id.is_(None), candidates.c.z)).label("z")
    kept = [column for column in candidates.c if column.name not in ("z", "predicted")]
    columns: list[ColumnElement[Any]] = [*kept, z, null().label("predicted")]
    return select(*columns).outerjoin(latents, placed).order_by(candidates.c.seq)


def outcomes_of(among: Sequence[str] | None) -> Select[Any]:
    """Outcomes of these candidates or of all, in the order of proposal, with the crystal that was `proposed`."""
    query = (
        select(outcomes, candidates.c.crystal.label("proposed"))
        .join(candidates, candidates.c.id == outcomes.c.candidate_id)
        .order_by(candidates.c.seq, outcomes.c.position)
    )
    return query if among is None else query.where(candidates.c.id.in_(among))
