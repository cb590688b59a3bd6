"""A ledger in PostgreSQL: the same tables, in a schema of their own for each campaign of a database.

Transactions mean what they mean in SQLite. One that writes waits for the one before it (an advisory lock of the
schema, where SQLite has its write lock), and one that reads sees one moment. A method of the store takes some ten
milliseconds, measuring seconds to hours, so that a hundred workers seldom meet there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from sqlalchemy import Connection, Engine, event, inspect, make_url, text
from sqlalchemy.exc import DatabaseError

from campaigns.database import connect
from campaigns.errors import LedgerError

EXTRA = "pip install 'latentore[postgresql]'"
PATIENCE_S = 300.0
SETTINGS = {
    "synchronous_commit": "on",  # what a method has returned from survives a power cut, as with SQLite
    "lock_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",  # a host that vanished holds up nobody for longer
}


def schema_of(campaign: str) -> str:
    """A name of its own in the database; PostgreSQL's names have at most 63 bytes."""
    schema = f"latentore_{campaign}"
    if len(schema) > 63:
        raise LedgerError(f"name: {campaign!r} is too long for a ledger in PostgreSQL.", "At most 53 characters.")
    return schema


def check_driver() -> None:
    """Raises LedgerError without psycopg."""
    if find_spec("psycopg") is None:
        raise LedgerError("ledger: PostgreSQL asks for psycopg, which is not installed.", EXTRA)


def connect_postgresql(address: str, campaign: str) -> Engine:
    """An engine that sees this campaign's tables and no others; it connects when it is first used.

    A transaction reads, or writes with the execution option `begin="IMMEDIATE"`. Raises LedgerError without psycopg.
    """
    schema = schema_of(campaign)
    url = make_url(address).set(drivername="postgresql+psycopg")
    options = {"connect_timeout": "10", "application_name": "latentore"} | dict(url.query)
    check_driver()
    engine = connect(url.set(query=options), pool_pre_ping=True)

    answered: list[bool] = []

    def wait_for_it(dialect: Any, _record: object, arguments: Any, named: Any) -> Any:
        """A server that was there and is away, to be restarted, is waited for: hours of measuring may be in hand."""
        end = time.monotonic() + (PATIENCE_S if answered else 0.0)
        while True:
            try:
                connection = dialect.connect(*arguments, **named)
            except dialect.loaded_dbapi.OperationalError:
                if time.monotonic() >= end:
                    raise
                time.sleep(1.0)
            else:
                answered.append(True)
                return connection

    def configure(connection: Any, _record: object) -> None:
        connection.autocommit = True
        for name, value in {**SETTINGS, "search_path": f'"{schema}"'}.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        connection.autocommit = False

    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("begin") == "IMMEDIATE":
            lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:schema, 0))")
            connection.execute(lock, {"schema": schema})
        else:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    event.listen(engine, "do_connect", wait_for_it)
    event.listen(engine, "connect", configure)
    event.listen(engine, "begin", begin)
    return engine


def campaign_in(address: str, campaign: str) -> bool:
    """Whether the database holds it. Raises LedgerError where nobody could tell, or it could not be made there."""
    engine = connect_postgresql(address, campaign)
    try:
        with engine.begin() as connection:
            if inspect(connection).has_table("meta", schema=schema_of(campaign)):
                return True
            allowed = text("SELECT has_database_privilege(current_database(), 'CREATE')")
            if not connection.execute(allowed).scalar_one():
                database, user = connection.execute(text("SELECT current_database(), current_user")).one()
                raise LedgerError(
                    f"ledger: {address} lets this user make no schema.",
                    f'Its owner may allow it: GRANT CREATE ON DATABASE "{database}" TO "{user}";',
                )
            return False
    except DatabaseError as error:
        raise unusable(address, error) from None
    finally:
        engine.dispose()


def create_in_postgresql(address: str, campaign: str, fill: Callable[[Connection], None]) -> None:
    """A new ledger, in one transaction. Raises FileExistsError where it is there, LedgerError where it cannot be."""
    engine, schema = connect_postgresql(address, campaign), schema_of(campaign)
    try:
        with engine.execution_options(begin="IMMEDIATE").begin() as connection:
            if inspect(connection).has_table("meta", schema=schema):
                raise FileExistsError(address)
            connection.exec_driver_sql(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            fill(connection)
    except DatabaseError as error:
        raise unusable(address, error) from None
    finally:
        engine.dispose()


def unusable(address: str, error: DatabaseError) -> LedgerError:
    """What the server, or whoever did not reach it, said."""
    return LedgerError(
        f"ledger: {address} cannot be used ({error.orig}).",
        "Is the server up, the user known to it, and the password in ~/.pgpass or PGPASSWORD?",
    )
