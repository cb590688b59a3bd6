"""Packages of the system that tests need, installed where that is allowed: by root, where there is apt-get, unless
LATENTORE_APT=no forbids it.

Never for long: what may take time or hang is given a time. A test that goes without is skipped with the reason.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from pathlib import Path

SWITCH = "LATENTORE_APT"
ONE_AT_A_TIME = Path(__file__).parents[2] / "pyproject.toml"  # locked: nothing is left behind, and it is always there
FETCHING, UNPACKING = 240.0, 240.0  # seconds; who is killed while fetching leaves no half-installed package
WITHOUT_WAITING = ("-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=15", "-o", "Acquire::https::Timeout=15")


def install(package: str) -> str:
    """Nothing where it worked; else why not, in a few words for the line of a skipped test."""
    if os.environ.get(SWITCH) == "no":
        return f"{SWITCH}=no"
    if os.geteuid() != 0:
        return "not root"
    if shutil.which("apt-get") is None:
        return "no apt-get"
    with ONE_AT_A_TIME.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # workers of one test run; let go by whoever ends
        wanted = ("install", "-y", "--no-install-recommends", package)
        fetch, end = ("--download-only", *wanted), time.monotonic() + FETCHING
        if _apt_get(*fetch, seconds=FETCHING):  # no lists yet, or old ones
            _apt_get("update", seconds=end - time.monotonic())
            if why := _apt_get(*fetch, seconds=end - time.monotonic()):
                return why
        return _apt_get(*wanted, seconds=UNPACKING)


def _apt_get(*words: str, seconds: float) -> str:
    """What it complained of last."""
    command = ["apt-get", "-q", *WITHOUT_WAITING, "-o", "DPkg::Lock::Timeout=60", *words]
    settings = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    try:
        done = subprocess.run(command, env=settings, text=True, errors="replace", timeout=seconds, **quiet)
    except subprocess.TimeoutExpired:
        return "apt-get took too long"
    if done.returncode == 0:
        return ""
    said = [line for line in done.stderr.splitlines() if line.startswith("E:")]
    return f"apt-get: {said[-1] if said else f'exit code {done.returncode}'}"
