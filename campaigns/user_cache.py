"""The folder of the user's that campaigns share: made phases, crystals fetched from elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "LATENTORE_CACHE"


def cache_folder() -> Path:
    """$LATENTORE_CACHE, else `latentore` in $XDG_CACHE_HOME or ~/.cache."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentore"
