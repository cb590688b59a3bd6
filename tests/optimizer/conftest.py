from __future__ import annotations

from shared_fixtures import optimize

__all__ = ["optimize"]
