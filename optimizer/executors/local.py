"""On this machine: in this process where one worker is asked for, else in worker processes of one thread each.

Two threads make one relaxation of a small cell no faster than one does, so work is spread over processes. With one
worker there is no process to lose: a crash ends the campaign, and running it again goes on.

With `task_seconds` every worker is a process that is attended (optimizer/task_process.py), one worker too: what takes
longer is ended, and fails alone.
"""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from campaigns.spec import Strict
from campaigns.workers import cores, interrupts_held_back, one_thread_each
from optimizer.attending import CODES, result_of
from optimizer.task_process import attend, end_attended

if TYPE_CHECKING:
    from optimizer.protocols import ExecutorContext


class Params(Strict):
    """How long a candidate may take; the campaign's `workers` says how many are in hand."""

    task_seconds: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Most seconds for one candidate; no limit where absent."
    )
    attempts: int = Field(1, ge=1, le=10, description="How often one is tried that exceeds task_seconds or dies.")


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
        with interrupts_held_back(), one_thread_each():  # it starts processes
            return super().submit(fn, *args, **kwargs)

    def abandon(self) -> None:
        """End the processes at once, with what they have in hand."""
        for child in frozenset(multiprocessing.active_children()) - self._foreign:
            child.terminate()


class Attended(Executor):
    """Threads that each attend a process; futures end with a result, the task's own exception, or TaskLost."""

    def __init__(self, workers: int, setup: bytes, params: Params) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="attends")
        self._setup, self._params, self._closed = setup, params, False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self._threads.submit(self._work, pickle.dumps((fn, args, kwargs)))

    def _work(self, task: bytes) -> Any:
        assert self._params.task_seconds is not None
        answer, attempts = attend(self._setup, task, self._params.task_seconds, None), 1
        while answer.status in CODES and attempts < self._params.attempts and not self._closed:
            answer, attempts = attend(self._setup, task, self._params.task_seconds, None), attempts + 1
        return result_of(answer, attempts)

    def abandon(self) -> None:
        """End the processes at once, with what they have in hand."""
        self._closed = True
        end_attended(setup=self._setup)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        end_attended(setup=self._setup)


@dataclass(frozen=True)
class LocalWorkers:
    count: int
    params: Params
    apart: bool = False

    def start(self, initializer: Callable[..., None], initargs: tuple[Any, ...]) -> Executor:
        if self.params.task_seconds is not None:
            setup = pickle.dumps((initializer, initargs))
            return Attended(self.count, setup, self.params)
        return InProcess() if self.count == 1 and not self.apart else Processes(self.count, initializer, initargs)


def build(params: Params, context: ExecutorContext) -> LocalWorkers:
    """As many as the campaign asks for, one per core where it says nothing."""
    return LocalWorkers(context.workers or cores(), params, context.apart)
