"""Run `optimize run CAMPAIGN` in one forked child after another, each of which lacks something.

    python lacking.py CAMPAIGN LACKS.json

LACKS.json holds a list of `[runs folder, what, amount]`: `file_bytes` (no file may grow beyond), `open_files` (no more
than these above what is open), `clock` (it jumps by hours, back and forth, at every look), `disk_bytes` (no more are
free where the runs folder is mounted), `read_only` (that is), `nothing`. One JSON line per child:
`[exit code, what it said]`.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import mortal
from pymatgen.core import Lattice, Structure

from optimizer.references import ReferenceTable

CLOCKS = ("store", "leases", "owner", "ledger", "statements", "awaited")
LIMITS = {"file_bytes": resource.RLIMIT_FSIZE, "open_files": resource.RLIMIT_NOFILE}


def lack(what: str, amount: int) -> None:
    """In the child."""
    if what == "clock":
        jump_about()
    elif what in LIMITS:
        taken = len(os.listdir("/proc/self/fd")) if what == "open_files" else 0
        resource.setrlimit(LIMITS[what], (amount + taken, resource.getrlimit(LIMITS[what])[1]))


def jump_about() -> None:
    looks = count()

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            turn = next(looks)
            return datetime.now(UTC) + timedelta(hours=(-1) ** turn * 7 * (turn % 5))

    for name in CLOCKS:
        module = importlib.import_module(f"campaigns.{name}")
        if hasattr(module, "datetime"):
            module.datetime = Jumping  # type: ignore[attr-defined]


def arrange(disk: Path, what: str, amount: int) -> None:
    """In the parent: a mounted folder as the child shall find it."""
    if not disk.is_mount():
        return
    mode = "ro" if what == "read_only" else "rw"
    subprocess.run(["mount", "-o", f"remount,{mode}", str(disk)], check=True)
    if mode == "rw":
        hog = disk / "hog"
        hog.unlink(missing_ok=True)
        free = os.statvfs(disk)
        hog.write_bytes(bytes(max(0, free.f_bavail * free.f_bsize - amount) if what == "disk_bytes" else 0))


def main() -> None:
    mortal.cut_short()
    silicon = Structure(Lattice.cubic(5.4), ["Si"] * 2, [[0, 0, 0], [0.25, 0.25, 0.25]])
    ReferenceTable.load().novelty(silicon)  # read once, not by every child
    with open(sys.argv[2]) as file:
        lacks = json.load(file)
    for runs, what, amount in lacks:
        arrange(Path(runs), what, amount)
        with tempfile.TemporaryFile("w+") as said:
            child = os.fork()
            if child == 0:
                os.dup2(said.fileno(), 2)
                lack(what, amount)
                mortal.live(None, ["run", sys.argv[1], "--runs-dir", runs, "-q"])
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            said.seek(0)
            print(json.dumps([code, said.read()]), flush=True)


if __name__ == "__main__":
    main()
