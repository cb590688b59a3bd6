"""Schema versions move forward, in one transaction each time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, select, text

from campaigns import migrations
from campaigns.database import connect_sqlite
from campaigns.errors import LedgerError
from campaigns.ledger import Latent
from campaigns.records import FailureCode, first_failure, last_values
from campaigns.store import CampaignStore
from campaigns.tables import meta

LEDGERS = Path(__file__).parent / "ledgers"


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


# -- ledgers that older versions wrote


@pytest.fixture
def first(tmp_path) -> Path:
    """A campaign of six calls, written with schema 1: alloys relaxed with EMT in twelve steps at most."""
    folder = tmp_path / "first"
    folder.mkdir()
    shutil.copy(LEDGERS / "schema_1.sqlite", folder / "ledger.sqlite")
    return folder


def shape(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """Table -> its columns: name, type, not null, default, place in the primary key; and its foreign keys."""
    with engine.begin() as connection:
        tables = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
        return {
            name: [
                *(tuple(row[1:]) for row in connection.exec_driver_sql(f"PRAGMA table_info({name})")),
                *(tuple(row[2:5]) for row in connection.exec_driver_sql(f"PRAGMA foreign_key_list({name})")),
            ]
            for name in tables
        }


def test_everything_in_a_ledger_of_the_first_schema_is_read(first):
    with CampaignStore.open(first) as store:
        assert (store.spec.name, store.spec.budget.oracle_calls, store.dearest_stage) == ("first", 6, "relax")
        assert store.provenance["latentore"] == "0.1.0"
        candidates, outcomes = store.candidates(), store.outcomes()
        assert [c.id for c in candidates] == ["000-0000", "000-0001", "000-0002", "001-0000", "001-0001", "001-0002"]
        assert [c.crystal.composition.reduced_formula for c in candidates] == [
            *("Al5Pd", "Al2Ni", "Al2Cu"),
            *("Al2Cu", "Al3Cu", "Al2Cu"),
        ]
        assert all(len(c.z) == 64 for c in candidates)
        assert candidates[3].predicted.keys() == {"density_g_cm3"}
        failed = {c.id for c in candidates if first_failure(outcomes[c.id])}
        assert failed == {"000-0000", "000-0001", "001-0002"}
        assert {first_failure(outcomes[name]).code for name in failed} == {FailureCode.UNCONVERGED}
        densities = [last_values(outcomes[name])["density_g_cm3"] for name in ("000-0002", "001-0000", "001-0001")]
        assert densities == pytest.approx([2.890, 2.884, 4.075], abs=1e-3)
        assert store.spent().calls == 6
        assert [(r.round, r.phase) for r in store.rounds()] == [
            *((0, "start"), (0, "evaluate")),
            *((1, "propose"), (1, "evaluate")),
        ]
        assert store.rounds()[0].failures == {"known": 1}
        assert [g.accepted for g in store.generators()] == [True]
        assert {e.kind for e in store.events()} == {"clock"}
        assert store.latents(store.generators()[0].version) == {}


def test_a_ledger_of_the_first_schema_becomes_one_of_the_newest(first, engine):
    CampaignStore.open(first).close()
    moved = connect_sqlite(first / "ledger.sqlite")
    with moved.begin() as connection:
        assert entries(connection)["schema_version"] == migrations.SCHEMA_VERSION
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
    assert shape(moved) == shape(engine)
    moved.dispose()


def test_latents_of_the_first_schema_stand_for_what_was_proposed(first):
    old = connect_sqlite(first / "ledger.sqlite")
    with old.begin() as connection:
        connection.execute(text("INSERT INTO latents VALUES ('000-0001', 'v', '[0.5,1.25]')"))
    old.dispose()
    with CampaignStore.open(first) as store:
        assert store.latents("v") == {"000-0001": Latent((0.5, 1.25), "proposed")}
        store.add_latents("v", {"000-0001": Latent((0.25,), "relaxed")})
        assert store.latents("v")["000-0001"].stands_for == "relaxed"
