"""Schema versions of a ledger.

`MIGRATIONS[n]` turns schema n into n + 1 inside the caller's transaction, so a failed step leaves the file as
it was. A ledger written by a newer latentore is refused, never guessed at.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, insert, select, text, update

from campaigns.errors import LedgerError
from campaigns.tables import meta, metadata

SCHEMA_VERSION = 3


def _say_what_latents_stand_for(connection: Connection) -> None:
    """Schema 1 -> 2: `latents.stands_for`, until now always the crystal as proposed, and the table `leases`.

    Written out, not made from tables.py, which goes on changing.
    """
    for statement in (
        """CREATE TABLE latents_2 (
            candidate_id VARCHAR(64) NOT NULL,
            generator_version VARCHAR(128) NOT NULL,
            z JSON NOT NULL,
            stands_for VARCHAR(16) NOT NULL,
            PRIMARY KEY (candidate_id, generator_version),
            FOREIGN KEY(candidate_id) REFERENCES candidates (id)
        )""",
        "INSERT INTO latents_2 SELECT candidate_id, generator_version, z, 'proposed' FROM latents",
        "DROP TABLE latents",
        "ALTER TABLE latents_2 RENAME TO latents",
        """CREATE TABLE leases (
            candidate_id VARCHAR(64) NOT NULL,
            pid INTEGER NOT NULL,
            host VARCHAR(255) NOT NULL,
            birth VARCHAR(64) NOT NULL,
            since VARCHAR(32) NOT NULL,
            heartbeat_at VARCHAR(32) NOT NULL,
            PRIMARY KEY (candidate_id),
            FOREIGN KEY(candidate_id) REFERENCES candidates (id)
        )""",
    ):
        connection.execute(text(statement))


def _await_values_from_outside(connection: Connection) -> None:
    """Schema 2 -> 3: the table `awaited`."""
    connection.execute(
        text(
            """CREATE TABLE awaited (
            candidate_id VARCHAR(64) NOT NULL,
            stages JSON NOT NULL,
            handed_out_at VARCHAR(32),
            PRIMARY KEY (candidate_id),
            FOREIGN KEY(candidate_id) REFERENCES candidates (id)
        )"""
        )
    )


MIGRATIONS: dict[int, Callable[[Connection], None]] = {
    1: _say_what_latents_stand_for,
    2: _await_values_from_outside,
}


def create_schema(connection: Connection, written_by: str) -> None:
    """An empty ledger of the newest schema. `written_by` is the version of latentore that makes it."""
    metadata.create_all(connection)
    connection.execute(
        insert(meta),
        [{"key": "schema_version", "value": SCHEMA_VERSION}, {"key": "written_by", "value": written_by}],
    )


def migrate(connection: Connection, place: str, written_by: str) -> list[int]:
    """Bring a ledger to SCHEMA_VERSION; returns the versions it left. Raises LedgerError for a newer one."""
    found = connection.execute(select(meta.c.value).where(meta.c.key == "schema_version")).scalar_one_or_none()
    if not isinstance(found, int):
        raise LedgerError(f"{place}: names no schema version.", "It is no ledger of latentore; use another folder.")
    if found > SCHEMA_VERSION:
        newer = connection.execute(select(meta.c.value).where(meta.c.key == "written_by")).scalar_one_or_none()
        raise LedgerError(
            f"{place}: has schema {found}, written by latentore {newer}; this is {written_by}, "
            f"which reads up to schema {SCHEMA_VERSION}.",
            f"Install latentore {newer} or later: update the checkout, then `make install`.",
        )
    steps = list(range(found, SCHEMA_VERSION))
    for version in steps:
        MIGRATIONS[version](connection)
        connection.execute(update(meta).where(meta.c.key == "schema_version").values(value=version + 1))
    if steps:
        connection.execute(update(meta).where(meta.c.key == "written_by").values(value=written_by))
    return steps
