"""How a ledger's database is opened."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from campaigns.artifacts import sync_folder


def connect_sqlite(path: Path) -> Engine:
    """An engine on a SQLite file: write-ahead log, every commit flushed to the disk, foreign keys enforced.

    A transaction begins with `BEGIN`, or `BEGIN IMMEDIATE` with the execution option `begin="IMMEDIATE"`.
    """
    engine = connect(URL.create("sqlite", database=str(path)), connect_args={"timeout": 60})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def create_sqlite(path: Path, fill: Callable[[Connection], None]) -> None:
    """A new database, filled in one transaction and given its name last: nobody ever sees it half made.

    Raises FileExistsError where `path` exists, or another process was faster.
    """
    if path.exists():
        raise FileExistsError(path)
    partial = path.with_name(f".{path.name}-{os.getpid()}.partial")
    partial.unlink(missing_ok=True)  # of a killed process that had this pid
    engine = connect_sqlite(partial)
    try:
        with engine.execution_options(begin="IMMEDIATE").begin() as connection:
            fill(connection)
        _fold(engine)
    except BaseException:
        engine.dispose()
        _remove_partial(path, partial.name)
        raise
    engine.dispose()
    _name(partial, path)
    _remove_partial(path, f".{path.name}-*.partial")  # this one, and those of killed processes
    sync_folder(path.parent)


def _fold(engine: Engine) -> None:
    """Fold the write-ahead log into the file, which is about to get another name than its log has.

    Closing the last connection does that as well, but says nothing where the disk is full. Raises OSError then.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT", begin=None) as connection:
        busy, _, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
    if busy:
        raise OSError(errno.EBUSY, "the write-ahead log could not be folded into the ledger")


def _remove_partial(path: Path, pattern: str) -> None:
    for left_over in path.parent.glob(f"{pattern}*"):
        left_over.unlink(missing_ok=True)


def _name(partial: Path, path: Path) -> None:
    try:
        os.link(partial, path)  # unlike a rename, replaces nothing
    except OSError:
        if path.exists():
            raise FileExistsError(path) from None
        os.rename(partial, path)  # a file system without hard links


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
    if mode := connection.get_execution_options().get("begin", "DEFERRED"):
        connection.exec_driver_sql(f"BEGIN {mode}")
