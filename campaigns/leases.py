"""Who drives a campaign and what it has in hand: rows of a ledger, on a connection of the store.

The lock is one row of `meta`. A lease stands from the moment a candidate is handed to a worker until its outcome is
there; its heartbeat is renewed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from campaigns.ledger import Lease
from campaigns.owner import Owner
from campaigns.tables import candidates, leases, meta

LOCK = "lock"


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
    return [
        Lease(row.candidate_id, Owner(row.pid, row.host, row.birth, row.since), row.heartbeat_at)
        for row in connection.execute(query)
    ]


def write_lease(connection: Connection, candidate_id: str, owner: Owner) -> None:
    """Replaces one that was there."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    row = asdict(owner) | {"candidate_id": candidate_id, "since": now, "heartbeat_at": now}
    end_lease(connection, candidate_id)
    connection.execute(insert(leases), row)


def end_lease(connection: Connection, candidate_id: str) -> None:
    connection.execute(delete(leases).where(leases.c.candidate_id == candidate_id))


def renew_leases(connection: Connection, owner: Owner) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
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
