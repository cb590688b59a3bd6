"""Schema versions move forward, in one transaction each time."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, select, text

from campaigns import migrations
from campaigns.database import connect_sqlite
from campaigns.errors import LedgerError
from campaigns.tables import meta


@pytest.fixture
def engine(tmp_path):
    made = connect_sqlite(tmp_path / "ledger.sqlite")
    with made.begin() as connection:
        migrations.create_schema(connection, "0.1.0")
    yield made
    made.dispose()


def entries(connection: Connection) -> dict[str, object]:
    return {row.key: row.value for row in connection.execute(select(meta))}


def test_a_current_ledger_is_left_alone(engine):
    with engine.begin() as connection:
        assert migrations.migrate(connection, "here", "0.2.0") == []
        assert entries(connection)["written_by"] == "0.1.0"


def test_an_older_ledger_is_brought_forward_step_by_step(engine, monkeypatch):
    newest = migrations.SCHEMA_VERSION
    steps = {
        newest: lambda connection: connection.execute(text("CREATE TABLE first (x)")),
        newest + 1: lambda connection: connection.execute(text("ALTER TABLE first ADD COLUMN y")),
    }
    monkeypatch.setattr(migrations, "MIGRATIONS", steps)
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", newest + 2)
    with engine.begin() as connection:
        assert migrations.migrate(connection, "here", "0.3.0") == [newest, newest + 1]
    with engine.begin() as connection:
        assert entries(connection) == {"schema_version": newest + 2, "written_by": "0.3.0"}
        assert connection.execute(text("SELECT x, y FROM first")).all() == []


def test_a_step_that_fails_leaves_the_ledger_as_it_was(engine, monkeypatch):
    newest = migrations.SCHEMA_VERSION

    def fails(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE half (x)"))
        raise RuntimeError("disk full")

    monkeypatch.setattr(migrations, "MIGRATIONS", {newest: fails})
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", newest + 1)
    with pytest.raises(RuntimeError), engine.begin() as connection:
        migrations.migrate(connection, "here", "0.3.0")
    with engine.begin() as connection:
        assert entries(connection)["schema_version"] == newest
        assert connection.execute(text("SELECT name FROM sqlite_master WHERE name = 'half'")).all() == []


def test_a_ledger_without_version_is_refused(engine):
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM meta"))
        with pytest.raises(LedgerError, match="names no schema version"):
            migrations.migrate(connection, "here", "0.1.0")
