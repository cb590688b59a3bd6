from __future__ import annotations

from postgresql_server import database, postgresql
from shared_fixtures import caches_of_its_own, optimize

__all__ = ["caches_of_its_own", "database", "optimize", "postgresql"]
