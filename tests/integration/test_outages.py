"""A full disk, no more open files, a folder that is read-only, a clock that jumps: one line, and nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_campaigns import contents, emt_campaign

SEEDS = Path(__file__).parents[1] / "specs" / "valid" / "files" / "seeds"
LACKS = [
    ("file_bytes", 2_000),  # not even a ledger
    ("file_bytes", 90_000),
    ("open_files", 1),
    ("open_files", 4),
    ("clock", 0),
    ("nothing", 0),
]
ON_DISK = [("disk_bytes", 0), ("disk_bytes", 130_000), ("read_only", 0), ("nothing", 0)]
FULL = ("the disk is full", "cannot be written (No space left", "(database or disk is full)")
READ_ONLY = ("read-only", "Read-only")


@pytest.fixture(scope="module")
def disk(tmp_path_factory) -> Iterator[Path | None]:
    """A file system of its own, 1 MB; None where none may be mounted."""
    place = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True)
    yield place if mounted.returncode == 0 else None
    if mounted.returncode == 0:
        subprocess.run(["umount", place], check=True)


@pytest.fixture(scope="module")
def lives(disk, tmp_path_factory) -> tuple[Path, list[list]]:
    """One process that was loaded once, and what became of each of its children."""
    folder = tmp_path_factory.mktemp("lives")
    path = folder / "emt.yaml"
    path.write_text(
        json.dumps(emt_campaign(start=[{"kind": "crystals", "path": str(SEEDS)}], budget={"oracle_calls": 2}))
    )
    lacks = [["undisturbed", "nothing", 0], *(["lacking", *each] for each in LACKS)]
    lacks += [[str(disk), *each] for each in ON_DISK] if disk else []
    (folder / "lacks.json").write_text(json.dumps(lacks))
    program = [sys.executable, Path(__file__).with_name("lacking.py"), path, folder / "lacks.json"]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found.pop(0) == [0, ""]
    return folder, found


def assert_one_line(said: list[list], *parts: str) -> None:
    for code, line in said:
        assert code in (0, 2), line
        if code:
            assert len(line.splitlines()) == 1, line
            assert line.startswith("optimize: ")
            assert not parts or any(part in line for part in parts), line


def test_what_lacks_files_or_a_steady_clock_goes_on_when_it_has_them(lives):
    folder, said = lives
    mine = said[: len(LACKS)]
    assert_one_line(mine)
    assert [code for code, _ in mine].count(2) >= 3
    assert mine[-1] == [0, ""]
    assert contents(folder / "lacking" / "emt") == contents(folder / "undisturbed" / "emt")
    assert [p.name for p in (folder / "lacking" / "emt").rglob("*partial*")] == []


def test_a_full_disk_and_a_read_only_one(lives, disk):
    if disk is None:
        pytest.skip("no file system can be mounted here")
    folder, said = lives
    empty, small, read_only, large = said[len(LACKS) :]
    assert_one_line([empty, small], *FULL)
    assert_one_line([read_only], *READ_ONLY)
    assert [empty[0], small[0], read_only[0], large[0]] == [2, 2, 2, 0]
    assert contents(disk / "emt") == contents(folder / "undisturbed" / "emt")
