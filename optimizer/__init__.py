"""Drives a campaign. `from optimizer import Campaign` is the way in from Python; nothing else is loaded here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optimizer.campaign import Campaign

__all__ = ["Campaign"]


def __getattr__(name: str) -> Any:
    """`Campaign`, when it is asked for: `optimize --help` must not pay for the database."""
    if name != "Campaign":
        raise AttributeError(f"module 'optimizer' has no attribute {name!r}")
    from optimizer.campaign import Campaign

    return Campaign
