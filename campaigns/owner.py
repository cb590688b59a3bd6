"""Which process drives a campaign, and whether it still lives."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process. `birth` tells it from a later one with the same pid, empty where the system is silent."""

    pid: int
    host: str
    birth: str
    since: str  # UTC, ISO 8601

    @classmethod
    def this_process(cls) -> Owner:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(os.getpid(), socket.gethostname(), _birth(os.getpid()) or "", now)

    def is_process(self, other: Owner) -> bool:
        """The same process, whenever each was noted."""
        return (self.pid, self.host, self.birth) == (other.pid, other.host, other.birth)

    @property
    def may_live(self) -> bool:
        """False only where the process is known to be gone; one on another machine may live."""
        if self.host != socket.gethostname() or os.name == "nt":
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # it exists and belongs to somebody else
        birth = _birth(self.pid)
        return birth != "" and (birth is None or not self.birth or birth == self.birth)


def _birth(pid: int) -> str | None:
    """Start of a process in clock ticks since boot, proc(5) field 22; "" for a zombie, None without /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "" if fields[0] == "Z" else fields[19]
