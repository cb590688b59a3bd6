"""Where candidates are evaluated: in this process, or in worker processes of one thread each.

Two threads make one relaxation of a small cell no faster than one does, so work is spread over processes. A worker
builds the oracles once. One that dies (out of memory, a crashing calculator) is replaced; its candidate is tried once
more and then ends as `Failed` with WORKER_DIED.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from threading import Event
from typing import Any

from pymatgen.core import Structure

from campaigns.crystals import crystal_from_json, crystal_to_json
from campaigns.records import Failed, FailureCode, StageOutcome
from campaigns.spec import KindSpec
from optimizer.cascade import Cascade
from optimizer.protocols import OracleContext

Stages = tuple[StageOutcome, ...]
_cascade: Cascade | None = None  # the worker's own, built by its initializer


class InProcess(Executor):
    """Runs each task when it is submitted, in this process."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def _start_worker(specs: tuple[KindSpec, ...], context: OracleContext) -> None:
    global _cascade
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides when to stop
    torch.set_num_threads(1)
    _cascade = Cascade.build(specs, context)


def _evaluate(crystal: str, seed: int) -> Stages:
    assert _cascade is not None
    return _cascade.evaluate(crystal_from_json(crystal), seed)


class Evaluator:
    """Evaluates crystals with at most `workers` in hand. Use as a context manager."""

    def __init__(
        self, cascade: Cascade, specs: tuple[KindSpec, ...], context: OracleContext, workers: int
    ) -> None:
        self._cascade, self._specs, self._context, self.workers = cascade, specs, context, workers
        self._executor: Executor | None = None

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def evaluate(
        self, tasks: Sequence[tuple[str, Structure, int]], stop: Event
    ) -> Iterator[tuple[str, Stages]]:
        """`(id, crystal, seed)` -> `(id, stages)` as each finishes. After `stop` only what is in hand is finished."""
        waiting, tries = list(reversed(tasks)), dict.fromkeys((task[0] for task in tasks), 0)
        in_hand: dict[Future[Stages], tuple[str, Structure, int]] = {}
        while in_hand or (waiting and not stop.is_set()):
            while waiting and len(in_hand) < self.workers and not stop.is_set():
                task = waiting.pop()
                tries[task[0]] += 1
                in_hand[self._submit(task)] = task
            done, _ = wait(in_hand, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                task = in_hand.pop(future)
                try:
                    yield task[0], future.result()
                except BrokenProcessPool:
                    self._executor = None
                    if tries[task[0]] < 2:
                        waiting.append(task)
                    else:
                        yield task[0], self._died()

    def _submit(self, task: tuple[str, Structure, int]) -> Future[Stages]:
        _, crystal, seed = task
        if self.workers == 1:
            self._executor = self._executor or InProcess()
            return self._executor.submit(self._cascade.evaluate, crystal, seed)
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self.workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
                initargs=(self._specs, self._context),
            )
        try:
            return self._executor.submit(_evaluate, crystal_to_json(crystal), seed)
        except BrokenProcessPool as error:
            broken: Future[Stages] = Future()
            broken.set_exception(error)
            return broken

    def _died(self) -> Stages:
        first = next(
            (s for s in self._cascade.stages if s.name == self._cascade.dearest), self._cascade.stages[0]
        )
        outcome = Failed(FailureCode.WORKER_DIED, "the worker process died twice on this crystal")
        return (StageOutcome(first.name, first.oracle.version, outcome),)
