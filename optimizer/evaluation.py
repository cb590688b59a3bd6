"""Candidates through the cascade, wherever an executor runs it.

A worker builds the oracles once. Where an executor breaks as a whole (a worker process of `local` died: out of memory,
a crashing calculator) it is replaced, and what was in hand is tried once more, one at a time, so that only the crystal
that kills its worker ends as WORKER_DIED. An executor that looks after its workers itself says TaskLost of one task.
Oracles that take many crystals at once, as a relaxation on a GPU does, are given them in this process.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from itertools import islice
from pathlib import Path
from threading import Event, Thread
from types import TracebackType

from pymatgen.core import Structure

from campaigns.crystals import crystal_from_json, crystal_to_json
from campaigns.records import Failed, FailureCode, StageOutcome
from campaigns.search_space import SearchSpace
from campaigns.spec import KindSpec
from campaigns.workers import end_with_parent
from optimizer.cascade import Cascade, CascadeTask, Gate, Stages
from optimizer.protocols import OracleContext, TaskLost, Workers

POLL_SECONDS = 0.1  # until whoever has nothing to hand out yet, or may have been told to stop, is asked again
BATCHES_IN_HAND = 4  # so that an oracle that takes many can fill the places of those that are done
NO_GATES: Mapping[str, Mapping[str, Gate]] = {}
Task = tuple[str, Structure, int]  # candidate id, crystal, seed
_cascade: Cascade | None = None  # the worker's own, built by its initializer


def _start_worker(specs: tuple[KindSpec, ...], context: OracleContext, space: SearchSpace, cache: Path | None) -> None:
    global _cascade
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides when to stop
    Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _cascade = Cascade.build(specs, context, space).remembering(specs, cache)


def _evaluate(crystal: str, seed: int, gates: Mapping[str, Gate] | None) -> Stages:
    assert _cascade is not None
    return _cascade.evaluate(crystal_from_json(crystal), seed, gates)


class Evaluator:
    """Evaluates crystals with at most `workers.count` in hand. Use as a context manager."""

    def __init__(
        self,
        cascade: Cascade,
        specs: tuple[KindSpec, ...],
        context: OracleContext,
        workers: Workers,
        cache: Path | None = None,
    ) -> None:
        """`cache` is a folder of earlier answers, see `optimizer.result_cache`."""
        self._cascade = cascade.remembering(specs, cache)
        self._specs, self._context, self._workers, self._cache = specs, context, workers, cache
        self._executor: Executor | None = None

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Orderly, or at once where an exception (a second Ctrl-C) left work in hand."""
        if self._executor is None:
            return
        if error is not None and (abandon := getattr(self._executor, "abandon", None)):
            abandon()
        self._executor.shutdown(wait=True, cancel_futures=True)

    @property
    def places(self) -> int:
        """How many candidates are in hand at once."""
        return self._workers.count

    @property
    def in_process(self) -> bool:
        """Whether this process computes what is handed out, and can do nothing else meanwhile. Starts the workers."""
        return bool(getattr(self._started(), "in_process", False))

    def evaluate(
        self,
        tasks: Iterable[Task | None],
        stop: Event,
        begin: Callable[[str], None] = lambda name: None,
        gates: Mapping[str, Mapping[str, Gate]] = NO_GATES,
    ) -> Iterator[tuple[str, Stages]]:
        """`(id, crystal, seed)` -> `(id, stages)` as each finishes. After `stop` only what is in hand is finished.

        `tasks` is asked for the next whenever a worker is free. None says that there is nothing to hand out yet, and
        that something in hand is waited for: it is asked again soon. `begin` is told each id just before it is handed
        to a worker. `gates` maps ids to what they must pass, and is asked when they are handed out.
        """
        if self._cascade.together > 1:
            yield from self._many_at_once(tasks, stop, begin, gates)
            return
        fresh, suspects, more = iter(tasks), deque[Task](), True
        tried: set[str] = set()  # in hand when a worker died
        in_hand: dict[Future[Stages], Task] = {}
        while in_hand or ((more or suspects) and not stop.is_set()):
            alone = suspects or any(task[0] in tried for task in in_hand.values())
            most = 1 if alone else self._workers.count
            while (suspects or more) and len(in_hand) < most and not stop.is_set():
                try:
                    task = suspects.popleft() if suspects else next(fresh)
                except StopIteration:
                    more = False
                    break
                if task is None or stop.is_set():
                    break
                begin(task[0])
                in_hand[self._submit(task, gates.get(task[0]))] = task
            done, _ = wait(in_hand, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                task = in_hand.pop(future)
                try:
                    stages = future.result()
                except BrokenExecutor:
                    self._executor = None
                    if task[0] not in tried:
                        tried.add(task[0])
                        suspects.append(task)
                    elif not stop.is_set():  # whoever asked to stop may have ended the workers too
                        died = TaskLost(FailureCode.WORKER_DIED, "the worker process died twice on this crystal")
                        yield task[0], self._lost(died)
                except TaskLost as lost:
                    yield task[0], self._lost(lost)
                else:
                    yield task[0], stages

    def _many_at_once(
        self,
        tasks: Iterable[Task | None],
        stop: Event,
        begin: Callable[[str], None],
        gates: Mapping[str, Mapping[str, Gate]],
    ) -> Iterator[tuple[str, Stages]]:
        fresh, size = iter(tasks), BATCHES_IN_HAND * self._cascade.together
        while not stop.is_set() and (chunk := _what_is_there(fresh, size)):
            for name, _, _ in chunk:
                begin(name)
            given = [CascadeTask(crystal, seed, gates.get(name)) for name, crystal, seed in chunk]
            for index, stages in self._cascade.evaluate_together(given):
                yield chunk[index][0], stages

    def _submit(self, task: Task, gates: Mapping[str, Gate] | None) -> Future[Stages]:
        _, crystal, seed = task
        executor = self._started()
        if getattr(executor, "in_process", False):
            return executor.submit(self._cascade.evaluate, crystal, seed, gates)
        try:
            return executor.submit(_evaluate, crystal_to_json(crystal), seed, gates)
        except BrokenExecutor as error:
            broken: Future[Stages] = Future()
            broken.set_exception(error)
            return broken

    def _started(self) -> Executor:
        if self._executor is None:
            initargs = self._specs, self._context, self._cascade.space, self._cache
            self._executor = self._workers.start(_start_worker, initargs)
        return self._executor

    def _lost(self, lost: TaskLost) -> Stages:
        """Charged to the dearest stage, as nobody can tell in which one it was lost."""
        stage = next(each for each in self._cascade.stages if each.name == self._cascade.dearest)
        return (StageOutcome(stage.name, stage.oracle.version, Failed(lost.code, lost.message, lost.seconds)),)


def _what_is_there(tasks: Iterator[Task | None], most: int) -> list[Task]:
    """The next tasks, up to where there is nothing to hand out yet."""
    found: list[Task] = []
    for task in islice(tasks, most):
        if task is None:
            break
        found.append(task)
    return found
