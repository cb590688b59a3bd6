"""Runs as they are read back from their rows."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.search.running import read_rows
from campaigns.errors import UserError


@dataclass(frozen=True)
class Run:
    """One file of rows."""

    header: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]

    @property
    def arm(self) -> str:
        return str(self.header["arm"])

    @property
    def ended(self) -> bool:
        """All of the first set of hits is found, so nothing was left to do."""
        hits: Sequence[str] = next(iter(self.header["figures"].get("hits", {}).values()), [])
        return bool(hits) and set(hits) <= set(self.names)

    @property
    def names(self) -> list[str | None]:
        return [row["answer"].get("name") for row in self.rows]

    @property
    def proposing(self) -> list[float]:
        """Seconds of each batch after the start."""
        return [row["seconds"] for row in self.rows if "seconds" in row and row["round"] > 0]


def read_run(file: Path) -> Run:
    content = file.read_bytes()
    header, rows, _ = read_rows(gzip.decompress(content) if file.suffix == ".gz" else content)
    if header is None:
        raise UserError(f"{file}: has no header.", "Remove it.")
    return Run(header, rows)


def rows_digest(by_arm: Mapping[str, Sequence[Run]]) -> str:
    """Of every answer of these runs, so that a figure can be told from one of other runs."""
    told = [[arm, run.header["seed"], [row["answer"] for row in run.rows]] for arm in by_arm for run in by_arm[arm]]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
