"""What an oracle said of a crystal, kept by crystal and oracle version, so that nobody computes it again.

One JSON file per answer, named by the SHA-256 of the question: kind and parameters of the oracle, its version, and the
crystal with every digit. A file is complete before it has its name, so processes and campaigns may share a folder and
be killed at any moment; what cannot be read is computed again. Only oracles that call themselves `repeatable` are
looked up, and only answers that would be the same next time are kept: no timeout, no crash.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pymatgen.core import Structure

from campaigns.artifacts import write_durably
from campaigns.crystals import crystal_from_json, crystal_to_json
from campaigns.errors import UserError
from campaigns.records import Failed, FailureCode, Measured, Property
from campaigns.spec import KindSpec
from optimizer.protocols import Oracle

FORMAT = 1
ABANDONED_AFTER_S = 3600.0
OF_THE_CRYSTAL = frozenset(
    {
        FailureCode.COLLAPSED,
        FailureCode.EXPLODED,
        FailureCode.ISOLATED_ATOM,
        FailureCode.UNCONVERGED,
        FailureCode.EOS_NO_MINIMUM,
        FailureCode.EOS_BAD_FIT,
    }
)
"""Failures that the crystal itself is the reason of."""


def remembered(oracle: Oracle, spec: KindSpec, folder: Path) -> Oracle:
    """`oracle`, asked only for what does not lie in `folder`; itself where it is not repeatable."""
    if not getattr(oracle, "repeatable", False):
        return oracle
    question = json.dumps([FORMAT, spec.kind, spec.params, oracle.version], sort_keys=True)
    together = int(getattr(oracle, "together", 1))
    found = Remembered(oracle.version, oracle.properties, oracle.nominal_seconds, together, oracle, question, folder)
    return cast(Oracle, found)  # frozen, as every oracle is


def open_cache(folder: Path, *, shared: bool) -> Path:
    """Make the folder and remove what killed processes left half written; in a `shared` one others may be writing.

    Raises UserError where it cannot be used.
    """
    age = ABANDONED_AFTER_S if shared else 0.0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left_over in folder.glob(".*.partial"):
            with suppress(FileNotFoundError):
                if time.time() - left_over.stat().st_mtime >= age:
                    left_over.unlink()
    except OSError as error:
        raise UserError(f"cache: {folder} cannot be used ({error.strerror}).", "Choose another folder.") from None
    return folder


@dataclass(frozen=True)
class Remembered:
    """An oracle and what it said before. The seconds of an answer are those that this call took."""

    version: str
    properties: tuple[Property, ...]
    nominal_seconds: float
    together: int
    oracle: Oracle
    question: str
    folder: Path

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        files = [self._file(crystal) for crystal in xs]
        unknown: list[int] = []
        for index, (crystal, file) in enumerate(zip(xs, files, strict=True)):
            started = time.monotonic()
            if (answer := _read(file, crystal, started)) is None:
                unknown.append(index)
            else:
                yield index, answer
        if unknown:
            for place, outcome in self.oracle.evaluate([xs[index] for index in unknown], seed=seed):
                index = unknown[place]
                _write(files[index], self.question, outcome, xs[index])
                yield index, outcome

    def _file(self, crystal: Structure) -> Path | None:
        """Where the answer lies; None for what is no crystal to the ledger either."""
        try:
            asked = f"{self.question}\n{crystal_to_json(crystal)}"
        except ValueError:
            return None
        return self.folder / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"


def _read(file: Path | None, crystal: Structure, started: float) -> Measured | Failed | None:
    if file is None:
        return None
    try:
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))["answer"]
        if "code" in found:
            return Failed(FailureCode(found["code"]), found["message"], time.monotonic() - started)
        returned = crystal if found["crystal"] is None else crystal_from_json(json.dumps(found["crystal"]))
        values, flags, details = found["values"], tuple(found["flags"]), found["details"]
        return Measured(values, returned, flags, details, time.monotonic() - started)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(file: Path | None, question: str, outcome: Measured | Failed, crystal: Structure) -> None:
    """A folder that cannot be written, or details that are no plain data, cost time and nothing else."""
    if file is None:
        return
    answer: dict[str, Any]
    if isinstance(outcome, Failed):
        if outcome.code not in OF_THE_CRYSTAL:
            return
        answer = {"code": outcome.code.value, "message": outcome.message}
    else:
        returned = None if outcome.crystal is crystal else json.loads(crystal_to_json(outcome.crystal))
        answer = {
            "values": dict(outcome.values),
            "crystal": returned,
            "flags": list(outcome.flags),
            "details": dict(outcome.details),
        }
    with suppress(OSError, TypeError, ValueError):
        text = json.dumps({"question": question, "answer": answer}, allow_nan=False)
        write_durably(file, text.encode("utf-8"))
