"""Processes that compute beside this one and die with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from threading import Thread


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """Fresh interpreters: forking a process that runs threads of torch may hang. Ctrl-C ends them without words."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start)
    with interrupts_held_back():  # from the processes that these calls start, until they run `_start`
        for _ in range(workers):
            pool.submit(os.getpid)
    return pool


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """A worker waits for work for ever, also when its parent was killed: nothing else would end it."""
    if (parent := multiprocessing.parent_process()) is not None:
        wait([parent.sentinel])
        os._exit(1)


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Processes started here are born deaf to Ctrl-C, which a terminal sends to all of them; this one hears it after.

    Ignoring it instead while they start would lose it to this process, too.
    """
    resource_tracker.ensure_running()  # else the first process to start brings it along, which lets interrupts through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Numerical libraries of processes started here compute on one thread, which they learn from the environment alone.

    Linear algebra of small matrices on as many threads as cores, in as many processes as cores, is ten times slower.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
