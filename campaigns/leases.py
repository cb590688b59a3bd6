"""Who drives a campaign and what it has in hand: rows of a ledger, on a connection of the store.

The lock is one row of `meta`. A lease stands from the moment a candidate is handed to a worker until its outcome is
there; its heartbeat is renewed meanwhile, by the clock of whoever keeps the ledger: hosts need not agree on the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, func, insert, select, update

from campaigns.ledger import Claimed, Lease
from campaigns.owner import Owner
from campaigns.rows import read_candidate
from campaigns.tables import awaited, candidates, leases, meta, outcomes

LOCK = "lock"


def is_shared(connection: Connection | Engine) -> bool:
    """Whether processes on several hosts may have candidates in hand at once."""
    return connection.dialect.name == "postgresql"


def clock(connection: Connection) -> datetime:
    """The time where the ledger is kept."""
    if is_shared(connection):
        return connection.execute(select(func.clock_timestamp())).scalar_one().astimezone(UTC)
    return datetime.now(UTC)


def read_lock(connection: Connection) -> Owner | None:
    entry = connection.execute(select(meta.c.value).where(meta.c.key == LOCK)).scalar_one_or_none()
    return Owner(**entry) if entry else None


def write_lock(connection: Connection, owner: Owner | None) -> None:
    connection.execute(delete(meta).where(meta.c.key == LOCK))
    if owner is not None:
        connection.execute(insert(meta), {"key": LOCK, "value": asdict(owner)})


def read_leases(connection: Connection) -> list[Lease]:
    """In the order in which the candidates were proposed."""
    query = select(leases).join(candidates, candidates.c.id == leases.c.candidate_id).order_by(candidates.c.seq)
    now, shared = clock(connection), is_shared(connection)
    return [
        Lease(
            row.candidate_id,
            Owner(row.pid, row.host, row.birth, row.since),
            row.heartbeat_at,
            now - datetime.fromisoformat(row.heartbeat_at),
            shared,
        )
        for row in connection.execute(query)
    ]


def write_lease(connection: Connection, candidate_id: str, owner: Owner) -> None:
    """Replaces one that was there."""
    now = clock(connection).isoformat(timespec="seconds")
    row = asdict(owner) | {"candidate_id": candidate_id, "since": now, "heartbeat_at": now}
    end_lease(connection, candidate_id)
    connection.execute(insert(leases), row)


def claim(connection: Connection, owner: Owner, calls_left: int, round: int | None) -> Claimed | None:
    """Lease the first candidate that has neither outcome nor a living lease, of `round` where one is given.

    None where there is none, or where what is in hand may use up the calls that are left.
    """
    held = keep_leases(connection, lambda lease: lease.may_live)
    if len(held) >= calls_left:
        return None
    taken = select(leases.c.candidate_id).union(select(outcomes.c.candidate_id), select(awaited.c.candidate_id))
    query = select(candidates).where(candidates.c.id.not_in(taken)).order_by(candidates.c.seq).limit(1)
    if round is not None:
        query = query.where(candidates.c.round == round)
    if (row := connection.execute(query).first()) is None:
        return None
    found = read_candidate(row)
    write_lease(connection, found.id, owner)
    return Claimed(found, len(held))


def end_lease(connection: Connection, candidate_id: str) -> None:
    connection.execute(delete(leases).where(leases.c.candidate_id == candidate_id))


def renew_leases(connection: Connection, owner: Owner) -> None:
    now = clock(connection).isoformat(timespec="seconds")
    connection.execute(update(leases).where(_held_by(owner)).values(heartbeat_at=now))


def end_leases(connection: Connection, owner: Owner) -> None:
    connection.execute(delete(leases).where(_held_by(owner)))


def keep_leases(connection: Connection, wanted: Callable[[Lease], bool]) -> list[Lease]:
    """Drop every lease that is not wanted; returns those that stay."""
    kept = []
    for lease in read_leases(connection):
        if wanted(lease):
            kept.append(lease)
        else:
            end_lease(connection, lease.candidate_id)
    return kept


def _held_by(owner: Owner) -> ColumnElement[bool]:
    return and_(leases.c.pid == owner.pid, leases.c.host == owner.host, leases.c.birth == owner.birth)
