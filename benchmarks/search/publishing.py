"""Finished runs as they are committed: compressed, and without the folders of the machine that ran them."""

from __future__ import annotations

import gzip
import json
import shlex
from pathlib import Path

from benchmarks.search.running import read_rows
from campaigns.artifacts import write_durably
from campaigns.errors import UserError


def publish(runs: Path, to: Path) -> list[Path]:
    """Write every run in `runs` that ended to `to`, as `ARM-SEED.jsonl.gz`. Raises UserError where none has."""
    written: list[Path] = []
    to.mkdir(parents=True, exist_ok=True)
    for file in sorted(runs.glob("*.jsonl")):
        header, rows, _ = read_rows(file.read_bytes())
        if header is None or not _ended(header, rows):
            continue
        lines = [{**header, "command": without_folders(header["command"])}, *rows]
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


def _ended(header: dict[str, object], rows: list[dict[str, object]]) -> bool:
    hits: list[str] = next(iter(header["figures"].get("hits", {}).values()), [])  # type: ignore[attr-defined]
    found = {row["answer"].get("name") for row in rows}  # type: ignore[attr-defined]
    return len(rows) == header["budget"] or (bool(hits) and set(hits) <= found)
