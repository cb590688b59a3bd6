"""The tables of a ledger, schema 3, in SQLite or PostgreSQL. Only `store.py` and its neighbours use them."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData()


def _short(usual: int) -> TypeEngine[str]:
    """Text whose usual length SQLite notes and does not enforce; PostgreSQL would refuse what is longer."""
    return String(usual).with_variant(Text(), "postgresql")


meta = Table(
    "meta",
    metadata,
    Column("key", _short(64), primary_key=True),  # schema_version, spec, provenance, dearest_stage, lock ...
    Column("value", JSON, nullable=False),
)

rounds = Table(
    "rounds",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("round", Integer, nullable=False),
    Column("phase", _short(32), nullable=False),
    Column("failures", JSON, nullable=False),  # failure code -> count
    Column("figures", JSON, nullable=False),
    Column("finished_at", _short(32), nullable=False),  # UTC, ISO 8601
    UniqueConstraint("round", "phase"),
)

candidates = Table(
    "candidates",
    metadata,
    Column("seq", Integer, primary_key=True),  # order of proposal
    Column("id", _short(64), unique=True, nullable=False),
    Column("round", Integer, nullable=False, index=True),
    Column("arm", _short(64), nullable=False),
    Column("parent", _short(64)),
    Column("generator_version", _short(128), nullable=False),
    Column("crystal", Text, nullable=False),  # as proposed, see crystals.py
    Column("z", JSON(none_as_null=True)),  # the latent that was proposed
    Column("predicted", JSON, nullable=False),  # property -> [mean, standard deviation]
)

latents = Table(
    "latents",
    metadata,
    Column("candidate_id", ForeignKey("candidates.id"), primary_key=True),
    Column("generator_version", _short(128), primary_key=True),
    Column("z", JSON, nullable=False),
    Column("stands_for", _short(16), nullable=False),  # relaxed, proposed or nearest: see ledger.Latent
)

leases = Table(  # what is being evaluated now, and by which process; gone when its outcome is there
    "leases",
    metadata,
    Column("candidate_id", ForeignKey("candidates.id"), primary_key=True),
    Column("pid", Integer, nullable=False),
    Column("host", _short(255), nullable=False),
    Column("birth", _short(64), nullable=False),  # of the process, see owner.py
    Column("since", _short(32), nullable=False),
    Column("heartbeat_at", _short(32), nullable=False),
)

awaited = Table(  # through every stage that is computed here, its last values come from outside: see awaited.py
    "awaited",
    metadata,
    Column("candidate_id", ForeignKey("candidates.id"), primary_key=True),
    Column("stages", JSON, nullable=False),  # rows as of `outcomes`
    Column("handed_out_at", _short(32)),  # UTC, ISO 8601; null until the files for it were written
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("candidate_id", ForeignKey("candidates.id"), primary_key=True),
    Column("position", Integer, primary_key=True),  # 0 for the first stage
    Column("stage", _short(64), nullable=False, index=True),
    Column("oracle_version", _short(256), nullable=False),
    Column("failure", _short(64)),  # FailureCode, null where measured
    Column("message", Text, nullable=False),
    Column("properties", JSON, nullable=False),  # property -> number
    Column("crystal", Text),  # null where the stage returned the crystal it was given
    Column("flags", JSON, nullable=False),
    Column("details", JSON, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("package_versions", Text),
)

generators = Table(
    "generators",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("version", _short(128), unique=True, nullable=False),
    Column("artifact", _short(64)),  # SHA-256 of the weights under artifacts/, null for the bundled ones
    Column("figures", JSON, nullable=False),
    Column("accepted", Boolean, nullable=False),
    Column("added_at", _short(32), nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("at", _short(32), nullable=False),
    Column("kind", _short(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", JSON, nullable=False),
)
