"""An attended process answers, and what dies or hangs in it is noticed; nothing outlives its worker."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import worker_deeds

from optimizer.task_process import DIED, OK, RAISED, TIMED_OUT, Answer, attend, end_attended

SETUP = pickle.dumps((worker_deeds.start, ("hello",)))
LONG = 60.0


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    end_attended()


def ask(function: object, *args: object, seconds: float = LONG, setup: bytes = SETUP) -> Answer:
    return attend(setup, pickle.dumps((function, args, {})), seconds, None)


def value(answer: Answer) -> object:
    assert answer.status == OK, answer
    return pickle.loads(answer.content)


def gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_one_process_answers_task_after_task_until_it_dies():
    first = value(ask(os.getpid))
    assert first != os.getpid()
    assert value(ask(worker_deeds.what_it_started_with)) == ["hello"]
    assert value(ask(os.getpid)) == first
    failed = ask(worker_deeds.fail, "not today")
    assert failed.status == RAISED
    assert isinstance(pickle.loads(failed.content), ArithmeticError)
    died = ask(worker_deeds.die)
    assert (died.status, died.message) == (DIED, "the process ended with SIGKILL")
    second = value(ask(os.getpid))
    assert second != first


def test_the_limit_counts_the_task_and_not_its_setup():
    slow = pickle.dumps((time.sleep, (0.5,)))
    assert value(ask(abs, -1, seconds=0.4, setup=slow)) == 1
    pid = value(ask(os.getpid, setup=slow))
    hung = ask(time.sleep, 100, seconds=0.2, setup=slow)
    assert (hung.status, hung.message) == (TIMED_OUT, "not done after 0.2 s")
    assert gone(pid)


def test_a_setup_that_fails_says_so_every_time():
    broken = pickle.dumps((worker_deeds.fail, ("no such model",)))
    for _ in range(2):
        answer = ask(abs, -1, setup=broken)
        assert answer.status == RAISED
        assert "no such model" in str(pickle.loads(answer.content))


def test_it_ends_with_the_process_that_attends_it():
    """Whatever it is busy with: the attending process is killed while a task sleeps."""
    code = (
        "import os, pickle, threading, time, worker_deeds\n"
        "from optimizer.task_process import attend\n"
        "setup = pickle.dumps((worker_deeds.start, ('hello',)))\n"
        "print(pickle.loads(attend(setup, pickle.dumps((os.getpid, (), {})), 60, None).content), flush=True)\n"
        "attend(setup, pickle.dumps((time.sleep, (600,), {})), 600, None)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    assert not gone(pid)
    process.kill()
    process.communicate()
    end = time.monotonic() + LONG
    while not gone(pid):
        assert time.monotonic() < end
        time.sleep(0.02)
