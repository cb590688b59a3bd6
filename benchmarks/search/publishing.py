"""Finished runs as they are committed: compressed, and without the folders of the machine that ran them."""

from __future__ import annotations

import gzip
import json
import shlex
from pathlib import Path

from benchmarks.search.runs import read_run
from campaigns.artifacts import write_durably
from campaigns.errors import UserError


def publish(runs: Path, to: Path) -> list[Path]:
    """Write every run in `runs` that ended to `to`, as `ARM-SEED.jsonl.gz`. Raises UserError where none has."""
    written: list[Path] = []
    to.mkdir(parents=True, exist_ok=True)
    for file in sorted(runs.glob("*.jsonl")):
        run = read_run(file)
        if not run.ended and len(run.rows) < run.header["budget"]:
            continue
        lines = [{**run.header, "command": without_folders(run.header["command"])}, *run.rows]
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        written.append(to / f"{file.name}.gz")
        write_durably(written[-1], gzip.compress(text.encode(), mtime=0))
    if not written:
        raise UserError(f"{runs}: holds no run that ended.", "Go on with `run`.")
    return written


def without_folders(command: str) -> str:
    """Files by their names alone, and no `--out`."""
    words, kept = iter(shlex.split(command)), []
    for word in words:
        if word == "--out":
            next(words, None)
        else:
            kept.append(Path(word).name if "/" in word else word)
    return shlex.join(kept)
