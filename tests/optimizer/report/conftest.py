from __future__ import annotations

from report_ledgers import make_ledger, searched

__all__ = ["make_ledger", "searched"]
