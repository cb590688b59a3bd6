"""One run: a task, an arm, a seed. A line of JSON per call; a run that was cut off reads its lines and goes on."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from benchmarks.search.protocols import BATCH, Answer, Arm, History, Proposal, Row, Task
from campaigns.errors import UserError

ATTEMPTS = 3  # times an arm is asked again for what a screen refused, before prior samples fill the batch
FILLED, START = "filled", "start"


@dataclass(frozen=True)
class Outcome:
    """How a run ended: "finished", "budget", "hours", or "taken" where another process has it in hand."""

    how: str
    calls: int


def round_seed(seed: int, round: int, attempt: int = 0) -> int:
    """A seed for every batch, so that each can be proposed again."""
    return int(np.random.SeedSequence([seed, round, attempt]).generate_state(1)[0])


def run_one(
    task: Task,
    make_arm: Callable[[], Arm],
    *,
    file: Path,
    seed: int,
    budget: int,
    header: Mapping[str, Any],
    until: float,
    say: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Run until `budget` calls, until nothing is left to find, or until `until` (of time.monotonic).

    Raises UserError where the file holds a run under other conditions.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with _in_hand(file) as handle:
        if handle is None:
            return Outcome("taken", 0)
        history = _read(handle, task, _full(header, task), file)
        arm: Arm | None = None
        while len(history) < budget and not task.finished(history):
            if time.monotonic() > until:
                return Outcome("hours", len(history))
            number, began = history.rounds, time.monotonic()
            if number == 0:
                chosen = [(START, answer) for answer in task.start(seed)]
                seconds = 0.0
            else:
                arm = arm or make_arm()
                chosen, seconds = _batch(task, arm, history, min(BATCH, budget - len(history)), seed)
            _write(handle, task, chosen, len(history), number, seconds)
            history = History((*history.rows, *(Row(number, label, answer) for label, answer in chosen)))
            say(f"round {number}: {len(history)} calls, {seconds:.1f} s proposing, {time.monotonic() - began:.1f} s")
        return Outcome("finished" if task.finished(history) else "budget", len(history))


def _full(header: Mapping[str, Any], task: Task) -> dict[str, Any]:
    spec = task.spec.model_dump(mode="json", exclude={"cache", "workers", "candidates", "start"})
    return {**header, "figures": dict(task.figures), "spec": spec}


def _batch(task: Task, arm: Arm, history: History, n: int, seed: int) -> tuple[list[tuple[str, Answer]], float]:
    """n answers, and the wall seconds of proposing."""
    number, seconds = history.rounds, 0.0
    chosen: list[tuple[str, Answer]] = []
    for attempt in range(ATTEMPTS + 1):
        so_far = History((*history.rows, *(Row(number, label, answer) for label, answer in chosen)))
        last, batch_seed = attempt == ATTEMPTS, round_seed(seed, number, attempt)
        began = time.monotonic()
        proposals = _prior(task, 32 * n, batch_seed) if last else arm.propose(task, history, n, batch_seed)
        seconds += 0.0 if last else time.monotonic() - began
        for index, answer in task.measure(proposals, n - len(chosen), so_far, batch_seed):
            chosen.append((proposals[index].label, answer))
        if len(chosen) == n:
            return chosen, seconds
    raise UserError(f"round {number}: not even samples of the prior give {n} crystals that may be measured.")


def _prior(task: Task, n: int, seed: int) -> list[Proposal]:
    noise = torch.Generator().manual_seed(seed)
    z = torch.randn(n, task.generator.latent_dim, generator=noise, dtype=torch.float64)
    return [Proposal(z=row, label=FILLED) for row in z]


@contextmanager
def _in_hand(file: Path) -> Iterator[IO[bytes] | None]:
    """The file, for this process alone; None where another has it."""
    with file.open("a+b") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield handle


def read_rows(data: bytes) -> tuple[dict[str, Any] | None, list[dict[str, Any]], int]:
    """Header and rows of whole rounds, and the bytes they take; a round that was cut off is left out."""
    header: dict[str, Any] | None = None
    rows: list[dict[str, Any]] = []
    open_round: list[dict[str, Any]] = []
    place = whole = 0
    for line in data.splitlines(keepends=True):
        place += len(line)
        if not line.endswith(b"\n"):  # the last line of a killed run
            break
        record = json.loads(line)
        if header is None:
            header, whole = record, place
            continue
        open_round.append(record)
        if len(open_round) == record["of"]:
            rows, open_round, whole = [*rows, *open_round], [], place
    return header, rows, whole


def _read(handle: IO[bytes], task: Task, header: Mapping[str, Any], file: Path) -> History:
    """What the file holds, which is cut to whole rounds. A new one gets its header."""
    handle.seek(0)
    there, rows, whole = read_rows(handle.read())
    wanted = json.loads(json.dumps(header))
    handle.truncate(whole)
    if there is None:
        _append(handle, [wanted])
        return History()
    for key in (k for k in wanted if k not in ("command", "budget")):
        if there.get(key) != wanted[key]:
            raise UserError(
                f"{file}: was run with another {key}.", "Move it away, or write to another folder with --out."
            )
    answers = task.restore([row["answer"] for row in rows])
    return History(tuple(Row(r["round"], r["label"], a) for r, a in zip(rows, answers, strict=True)))


def _append(handle: IO[bytes], records: list[dict[str, Any]]) -> None:
    handle.write(b"".join(json.dumps(each, separators=(",", ":")).encode() + b"\n" for each in records))
    handle.flush()
    os.fsync(handle.fileno())


def _write(
    handle: IO[bytes], task: Task, chosen: list[tuple[str, Answer]], before: int, number: int, seconds: float
) -> None:
    """One line per call; the first of a round says how long proposing it took."""
    lines: list[dict[str, Any]] = []
    for i, (label, answer) in enumerate(chosen):
        line: dict[str, Any] = {"call": before + i + 1, "round": number, "of": len(chosen), "label": label}
        line |= {"seconds": round(seconds, 3)} if i == 0 else {}
        lines.append({**line, "answer": task.record(answer)})
    _append(handle, lines)
