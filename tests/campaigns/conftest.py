"""Ledgers in a file, and in PostgreSQL where there is one: what holds for the store holds for both."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from postgresql_server import database, postgresql


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a spec says of where its ledger lies; a campaign of its own for each test."""
    if request.param == "sqlite":
        return {}
    return {"name": f"small-{uuid.uuid4().hex[:8]}", "ledger": request.getfixturevalue("database")}


__all__ = ["database", "postgresql"]
