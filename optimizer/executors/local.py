"""On this machine: in this process where one worker is asked for, else in worker processes of one thread each.

Two threads make one relaxation of a small cell no faster than one does, so work is spread over processes. With one
worker there is no process to lose: a crash ends the campaign, and running it again goes on.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from campaigns.spec import Strict
from campaigns.workers import cores, interrupts_ignored, one_thread_each

if TYPE_CHECKING:
    from optimizer.protocols import ExecutorContext


class Params(Strict):
    """None: the campaign's `workers` says how many."""


class InProcess(Executor):
    """Runs each task when it is submitted, in this process."""

    in_process = True

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Processes(ProcessPoolExecutor):
    """Fresh interpreters that ignore Ctrl-C, which a terminal sends to all of them: the driver decides when to stop."""

    def __init__(self, workers: int, initializer: Callable[..., None], initargs: tuple[Any, ...]) -> None:
        self._foreign = frozenset(multiprocessing.active_children())
        spawn = multiprocessing.get_context("spawn")
        super().__init__(workers, mp_context=spawn, initializer=initializer, initargs=initargs)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        with interrupts_ignored(), one_thread_each():  # it starts processes
            return super().submit(fn, *args, **kwargs)

    def abandon(self) -> None:
        """End the processes at once, with what they have in hand."""
        for child in frozenset(multiprocessing.active_children()) - self._foreign:
            child.terminate()


@dataclass(frozen=True)
class LocalWorkers:
    count: int

    def start(self, initializer: Callable[..., None], initargs: tuple[Any, ...]) -> Executor:
        return InProcess() if self.count == 1 else Processes(self.count, initializer, initargs)


def build(params: Params, context: ExecutorContext) -> LocalWorkers:
    """As many as the campaign asks for, one per core where it says nothing."""
    return LocalWorkers(context.workers or cores())
