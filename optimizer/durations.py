"""Seconds in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """In the unit that reads best, like "80 s", "2.5 min", "24 h" or "8.1 days"."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.{0 if seconds >= 10 * size else 1}f} {unit}"
    return f"{seconds:.2g} s" if 0.0005 <= seconds < 10 else f"{seconds:.0f} s"
