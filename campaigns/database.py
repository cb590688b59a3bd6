"""How a ledger's database is opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event


def connect_sqlite(path: Path) -> Engine:
    """An engine on a SQLite file: write-ahead log, every commit flushed to the disk, foreign keys enforced.

    A transaction begins with `BEGIN`, or `BEGIN IMMEDIATE` with the execution option `begin="IMMEDIATE"`.
    """
    engine = connect(URL.create("sqlite", database=str(path)), connect_args={"timeout": 60})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def connect(url: URL | str, **options: Any) -> Engine:
    """An engine whose JSON columns are compact, exact and free of NaN."""
    return create_engine(url, json_serializer=_to_json, **options)


def _to_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy and torch, and mappings, as plain Python."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "items"):
        return dict(value.items())
    raise TypeError(f"{value!r} cannot be written as JSON")


def _configure(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 must not begin transactions by itself: `_begin` does
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    mode = connection.get_execution_options().get("begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")
