"""Put a finished folder in the place of an old one."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from pathlib import Path

AT_FDCWD = -100
RENAME_EXCHANGE = 2


def replace_folder(new: Path, place: Path) -> None:
    """`new` takes the name `place`; what stood there is removed.

    On Linux a kill at any moment leaves the old or the new folder under that name. Where names cannot be
    exchanged at once, a kill between two renames can leave the old one as `<place>.old`.
    """
    if not place.exists():
        os.rename(new, place)
        return
    if _exchange(new, place):
        shutil.rmtree(new)
        return
    old = place.with_name(f"{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    os.rename(place, old)
    os.rename(new, place)
    shutil.rmtree(old)


def _exchange(left: Path, right: Path) -> bool:
    """renameat2(2) with RENAME_EXCHANGE; False where there is no such call."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        call = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    return call(AT_FDCWD, os.fsencode(left), AT_FDCWD, os.fsencode(right), RENAME_EXCHANGE) == 0
