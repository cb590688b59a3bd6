"""Thousands of files that are wrong in some way: each is accepted or refused in one message.

    python -m benchmarks.fuzz --n 5000 --seed 1
    python -m benchmarks.fuzz --subject table --only 1234 --seed 1     # one case again, its content shown

Good campaign files, tables, crystals and results are changed by `benchmarks.mutations` and given to the code that
`optimize check`, `run` and `tell` give them to, in this process. Trouble is: any exception that is not a UserError or
ValueError where the caller makes a UserError of it, a message of more than one line, a warning, more than ten seconds,
and a refused results table that changed the ledger. Exit code 1 where there was any.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mutations import Mutation, mutated
from benchmarks.subjects import SUBJECTS, Subject
from campaigns.errors import UserError

PATIENCE = 10
LONGEST_MESSAGE = 2000
SHARES = {"spec": 16, "plan": 4, "tell": 8, "start": 5, "crystal": 8, "reference": 5, "lookup": 3, "predictor": 1}


@dataclass(frozen=True)
class Verdict:
    """`outcome` is accepted, refused or trouble; `message` what was said."""

    outcome: str
    message: str
    seconds: float


class _TooLong(BaseException):
    """No `except Exception` on the way may take it for a fault of the file."""


@contextmanager
def watchdog(seconds: int) -> Iterator[None]:
    """Raises _TooLong in the main thread; where compiled code does not return to it, ends the process with a word."""

    def bark(number: int, frame: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, bark)
    signal.alarm(seconds)
    faulthandler.dump_traceback_later(3 * seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def content_of(subject: Subject, seed: int, number: int) -> tuple[str, bytes]:
    """Name and content of one case: a function of subject, seed and number alone."""
    rng = random.Random(f"{subject.name} {seed} {number}")
    name = rng.choice(sorted(subject.sources))
    ways: tuple[Mutation, ...] = subject.ways
    return name, mutated(rng, subject.sources[name], ways)


def load_libraries(subject: Subject, folder: Path) -> None:
    """A sound file, on which no clock runs: what is imported at the first use takes seconds on a busy machine, and what
    the watchdog interrupts is begun again by the next case."""
    name, content = min(subject.sources.items())
    path = folder / f"sound_{name}"
    path.write_bytes(content)
    subject.reset()
    with suppress(UserError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        subject.use(path)


def judge(subject: Subject, path: Path, content: bytes) -> Verdict:
    """Give the content to the code in question."""
    path.write_bytes(content)
    subject.reset()
    before = subject.state()
    started = time.monotonic()
    try:
        with watchdog(PATIENCE), warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("default")
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            outcome, message = subject.use(path)
    except UserError as error:
        outcome, message, seen = "refused", str(error), []
        if subject.state() != before:
            return Verdict("trouble", f"refused, and changed something: {message}", time.monotonic() - started)
    except _TooLong:
        return Verdict("trouble", f"not done after {PATIENCE} s", time.monotonic() - started)
    except Exception as error:
        places = [f"{Path(each.filename).name}:{each.lineno}" for each in traceback.extract_tb(error.__traceback__)]
        where = f"{type(error).__name__} in {' < '.join(places[:-6:-1])}"
        return Verdict("trouble", f"{where}: {error}", time.monotonic() - started)
    seconds = time.monotonic() - started
    if seen:
        return Verdict("trouble", f"warned: {seen[0].category.__name__} {seen[0].message}", seconds)
    if len(message.splitlines()) > 1 or len(message) > LONGEST_MESSAGE:
        return Verdict("trouble", f"more than one line of {LONGEST_MESSAGE}: {message}", seconds)
    return Verdict(outcome, message, seconds)


def run(
    counts: Mapping[str, int], seed: int, folder: Path, tell: Callable[[str, int, Verdict], None]
) -> Counter[tuple[str, str]]:
    """So many cases of each subject; how many ended how, by subject and outcome."""
    found: Counter[tuple[str, str]] = Counter()
    for name, count in counts.items():
        place = folder / name
        place.mkdir()
        subject = SUBJECTS[name](place)
        load_libraries(subject, place)
        for number in range(count):
            file, content = content_of(subject, seed, number)
            # another name each: what is read may be remembered by name
            verdict = judge(subject, place / f"{number}_{file}", content)
            found[name, verdict.outcome] += 1
            tell(name, number, verdict)
    return found


def shared_out(n: int) -> dict[str, int]:
    """n cases over the subjects, by their shares."""
    total = sum(SHARES.values())
    return {name: max(1, n * share // total) for name, share in SHARES.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--subject", choices=sorted(SUBJECTS), help="This one alone.")
    parser.add_argument("--only", type=int, help="One case of --subject.")
    parser.add_argument("--show", type=int, default=0, help="Print so many refusals of each subject.")
    given = parser.parse_args()
    print("command: python -m benchmarks.fuzz", *sys.argv[1:], f"(seed {given.seed})")
    folder = Path(tempfile.mkdtemp(prefix="latentore-fuzz-"))
    try:
        return _one(given.subject, given.seed, given.only, folder) if given.only is not None else _many(given, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _one(name: str, seed: int, number: int, folder: Path) -> int:
    subject = SUBJECTS[name](folder)
    file, content = content_of(subject, seed, number)
    load_libraries(subject, folder)
    print(f"{file}:\n{content.decode('utf-8', 'backslashreplace')[:4000]}")
    verdict = judge(subject, folder / file, content)
    print(verdict)
    return int(verdict.outcome == "trouble")


def _many(given: argparse.Namespace, folder: Path) -> int:
    slowest = [0.0]
    shown: Counter[str] = Counter()

    def tell(name: str, number: int, verdict: Verdict) -> None:
        slowest[0] = max(slowest[0], verdict.seconds)
        if verdict.outcome == "trouble":
            print(f"{name} {number}: {verdict.message[:300]}", flush=True)
        elif verdict.outcome == "refused" and shown[name] < given.show:
            shown[name] += 1
            print(f"{name} {number} refused: {verdict.message}")

    counts = shared_out(given.n) if given.subject is None else {given.subject: given.n}
    started = time.monotonic()
    found = run(counts, given.seed, folder, tell)
    print(f"\n{'subject':10} {'cases':>6} {'accepted':>9} {'refused':>8} {'trouble':>8}")
    for name, count in counts.items():
        print(f"{name:10} {count:6} {found[name, 'accepted']:9} {found[name, 'refused']:8} {found[name, 'trouble']:8}")
    trouble = sum(n for (_, outcome), n in found.items() if outcome == "trouble")
    print(
        f"{sum(counts.values())} cases in {time.monotonic() - started:.0f} s, "
        f"the slowest {slowest[0]:.1f} s: {trouble} in trouble"
    )
    return int(trouble > 0)


if __name__ == "__main__":
    sys.exit(main())
