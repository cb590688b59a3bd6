"""A process that works for another one which keeps an eye on it: tasks in, answers out, and an end to what hangs.

The attending side (`attend`) runs inside a worker of a cluster, where a thread cannot be stopped and a process that
dies takes the worker along. It counts the seconds of a task from the moment the task begins, ends the process that
exceeds them, notices one that dies, and starts the next one when there is work again. Both sides exchange pickles; the
attending one reads none, so that it needs nothing but this module.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Lock, Thread, get_ident
from typing import Any, NamedTuple

STARTUP_SECONDS = 600.0  # to import and to load models, on a busy file system
GIB = 1024**3
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # as campaigns.workers does
OK, RAISED, DIED, TIMED_OUT = "ok", "raised", "died", "timed out"


class Answer(NamedTuple):
    """`status` is one of OK, RAISED, DIED, TIMED_OUT. `content` is the pickled result or exception of the first two;
    `message` says in words what became of the others.
    """

    status: str
    content: bytes
    message: str
    seconds: float


class TaskProcess:
    """The attended process, seen from outside. Made for one setup: a pickled `(initializer, initargs)`."""

    def __init__(self, setup: bytes, memory_gib: float | None) -> None:
        self.setup, self.memory_gib = setup, memory_gib
        ours, theirs = Pipe()
        limit = "" if memory_gib is None else str(round(memory_gib * GIB))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "optimizer.task_process", str(theirs.fileno()), limit],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # a terminal's Ctrl-C is for the driver
        )
        theirs.close()
        self._pipe = ours
        self._ready = False  # the setup is done

    @property
    def usable(self) -> bool:
        return self._ready and self._process.poll() is None

    def ask(self, task: bytes, seconds: float) -> Answer:
        """Run a pickled `(function, args, kwargs)`. After DIED or TIMED_OUT the process is gone."""
        if not self._ready:
            started = self._exchange(self.setup, STARTUP_SECONDS)
            if started.status != OK:
                self.end()
                return started
            self._ready = True
        return self._exchange(task, seconds)

    def _exchange(self, message: bytes, seconds: float) -> Answer:
        since = time.monotonic()
        try:
            self._pipe.send_bytes(message)
            if not self._pipe.poll(seconds):
                self.end()
                return Answer(TIMED_OUT, b"", f"not done after {seconds:g} s", time.monotonic() - since)
            reply = self._pipe.recv_bytes()
        except (EOFError, OSError):
            return Answer(DIED, b"", self._how_it_died(), time.monotonic() - since)
        return Answer(RAISED if reply[:1] == b"R" else OK, reply[1:], "", time.monotonic() - since)

    def _how_it_died(self) -> str:
        code = self._process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"the process ended with {how}"

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()  # the pipe may be in use by the thread that waits for an answer, which learns of it now


_attended: dict[int, TaskProcess] = {}  # by thread: each thread of a worker attends one process
_lock = Lock()


def attend(setup: bytes, task: bytes, seconds: float, memory_gib: float | None) -> Answer:
    """Run the task in this thread's process, which is started anew where there is none or it has another setup."""
    me = get_ident()
    process = _attended.get(me)
    if process is not None and (process.setup, process.memory_gib) != (setup, memory_gib):
        end_attended([me])
        process = None
    if process is None:
        process = TaskProcess(setup, memory_gib)
        with _lock:
            _attended[me] = process
    answer = process.ask(task, seconds)
    if not process.usable:
        end_attended([me])
    return answer


def end_attended(threads: list[int] | None = None, setup: bytes | None = None) -> None:
    """End the processes of these threads, or of all; with `setup` only those made for it."""
    with _lock:
        for thread, process in list(_attended.items()):
            if (threads is None or thread in threads) and (setup is None or process.setup == setup):
                del _attended[thread]
                process.end()


def main() -> None:
    """The attended side. It ends when the other one is gone, whatever it is busy with."""
    pipe, limit = Connection(int(sys.argv[1])), sys.argv[2]
    if limit:
        resource.setrlimit(resource.RLIMIT_AS, (int(limit), int(limit)))
    tasks: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_listen, args=(pipe, tasks), daemon=True).start()
    _answer(pipe, _initialize, tasks.get())
    while True:
        _answer(pipe, _run, tasks.get())


def _listen(pipe: Connection, tasks: SimpleQueue[bytes]) -> None:
    try:
        while True:
            tasks.put(pipe.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)


def _initialize(setup: bytes) -> None:
    initializer, initargs = pickle.loads(setup)
    initializer(*initargs)


def _run(task: bytes) -> Any:
    function, args, kwargs = pickle.loads(task)
    return function(*args, **kwargs)


def _answer(pipe: Connection, work: Any, message: bytes) -> None:
    try:
        reply = b"K" + pickle.dumps(work(message))
    except BaseException as error:  # SystemExit too: it is the other side that ends this process
        reply = b"R" + _pickled(error)
    pipe.send_bytes(reply)


def _pickled(error: BaseException) -> bytes:
    try:
        content = pickle.dumps(error)
        pickle.loads(content)
    except Exception:
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return content


if __name__ == "__main__":
    main()
