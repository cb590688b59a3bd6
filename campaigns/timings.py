"""How long what a ledger records took, read without touching the file: no migration, no lock."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path


@dataclass(frozen=True)
class Timings:
    """Seconds of every measurement by oracle version, of every proposal of a round that had crystals to choose from,
    and of every retraining of the generator."""

    oracles: dict[str, list[float]] = field(default_factory=dict)
    proposals: list[float] = field(default_factory=list)
    refinements: list[float] = field(default_factory=list)


def read_timings(ledger: Path) -> Timings:
    """What an SQLite ledger says of it; nothing where it cannot be read."""
    found: dict[str, list[float]] = {}
    try:
        with closing(sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            query = "SELECT oracle_version, seconds FROM outcomes WHERE failure IS NULL"
            for version, seconds in connection.execute(query):
                found.setdefault(str(version), []).append(float(seconds))
            # a proposal beside the oracles says how long it took; others took what passed since the phase before
            columns = "phase, finished_at, json_extract(figures, '$.seconds'), json_extract(figures, '$.pool.admitted')"
            phases = connection.execute(f"SELECT {columns} FROM rounds ORDER BY seq").fetchall()
            ended = [(str(phase), datetime.fromisoformat(at).timestamp(), *said) for phase, at, *said in phases]
    except (sqlite3.Error, ValueError, TypeError):
        return Timings()
    proposals = [
        at - before if said is None else float(said)
        for (_, before, *_), (phase, at, said, admitted) in pairwise(ended)
        if phase == "propose" and admitted != 0
    ]
    refinements = [at - before for (_, before, *_), (phase, at, *_) in pairwise(ended) if phase == "refine"]
    return Timings(found, proposals, refinements)
