"""A PostgreSQL server of the tests' own, from the system's packages; where there is none, tests are skipped.

`apt-get install postgresql` is tried where it is allowed (system_packages). LATENTORE_POSTGRESQL_BIN names another
folder with initdb and pg_ctl.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from system_packages import install

NO_SERVER = "no PostgreSQL: apt-get install postgresql"
NO_DRIVER = "no psycopg: pip install 'latentore[postgresql]'"
PATIENCE = 120  # seconds


def programs() -> Path | None:
    """The folder of initdb and pg_ctl, of the newest version there is."""
    found = [Path(os.environ["LATENTORE_POSTGRESQL_BIN"])] if "LATENTORE_POSTGRESQL_BIN" in os.environ else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -int(path.parent.name))
    found += [Path(place).parent for place in [shutil.which("initdb")] if place]
    return next((folder for folder in found if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass(frozen=True)
class Server:
    """It lets in the user `latentore`, who owns the database `materials`, from anywhere."""

    place: str  # HOST:PORT
    start: Callable[[], None]
    stop: Callable[[], None]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    if find_spec("psycopg") is None:
        pytest.skip(NO_DRIVER)
    if (bin_folder := programs()) is None:
        why = install("postgresql")
        if (bin_folder := programs()) is None:
            pytest.skip(f"{NO_SERVER} ({why})")
    # PostgreSQL refuses to run as root
    other = next((user for user in ("postgres", "nobody") if os.geteuid() == 0 and _is_user(user)), None)
    folder = Path(tempfile.mkdtemp(prefix="latentore-postgresql-"))
    who = {"user": other} if other else {}
    if other:
        shutil.chown(folder, other)

    def call(program: str, *arguments: object) -> None:
        command = [bin_folder / program, *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, **who)
        assert done.returncode == 0, done.stderr

    data, port = folder / "data", free_port()
    try:
        call("initdb", "-D", data, "-U", "latentore", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        (data / "pg_hba.conf").write_text("host all all 0.0.0.0/0 trust\n")
        settings = f"-p {port} -k '' -c listen_addresses=* -c fsync=off -c timezone=Asia/Tokyo"

        def start() -> None:
            call("pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", settings, "start")

        def stop() -> None:
            call("pg_ctl", "-D", data, "-m", "immediate", "stop")

        start()
        try:
            call("createdb", "-h", "127.0.0.1", "-p", port, "-U", "latentore", "materials")
            yield Server(f"127.0.0.1:{port}", start, stop)
        finally:
            stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


@pytest.fixture
def database(postgresql: Server) -> str:
    """The address of a ledger, as a campaign file names it."""
    return f"postgresql://latentore@{postgresql.place}/materials"
