"""Network namespaces that reach this host and each other through a bridge, where this machine lets a test make them."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


def _ip(*words: str) -> bool:
    return subprocess.run(["ip", *words], capture_output=True).returncode == 0


@contextmanager
def _namespaces(count: int) -> Iterator[tuple[str, list[str]] | None]:
    """This host's address on the bridge, and the names; None where they could not be made."""
    mark, net = secrets.token_hex(3), f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(250)}"
    bridge, names = f"lb{mark}", [f"latentore{mark}{place}" for place in range(count)]
    try:
        made = _ip("link", "add", bridge, "type", "bridge") and _ip("addr", "add", f"{net}.1/24", "dev", bridge)
        made = made and _ip("link", "set", bridge, "up")
        for place, name in enumerate(names):
            here, there = f"lv{mark}{place}", f"lw{mark}{place}"
            made = made and _ip("netns", "add", name)
            made = made and _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
            made = made and _ip("link", "set", here, "master", bridge, "up")
            made = made and _ip("-n", name, "addr", "add", f"{net}.{place + 2}/24", "dev", there)
            made = made and _ip("-n", name, "link", "set", there, "up")
        yield (f"{net}.1", names) if made else None
    finally:
        for name in names:
            _ip("netns", "delete", name)
        _ip("link", "delete", bridge)


@pytest.fixture(scope="session")
def namespaces() -> Iterator[tuple[str, list[str]] | None]:
    """Three of them with this host's address there; None where the machine does not allow it."""
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("ip") is None:
        yield None
        return
    with _namespaces(3) as made:
        yield made
