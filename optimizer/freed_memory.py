"""Memory that a round has freed goes back to the system.

glibc keeps freed blocks for the next request; between the blocks that stay (what is remembered of crystals) a process
that reads its whole ledger every round would so grow by twice what it holds. Elsewhere than with glibc nothing is done.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache


def return_freed_memory() -> None:
    """malloc_trim(3), some milliseconds."""
    if (trim := _trim()) is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)  # absent with musl
