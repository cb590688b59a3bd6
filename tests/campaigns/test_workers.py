"""Ctrl-C while worker processes start: they do not hear it, whoever starts them does."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool

import pytest

from campaigns.workers import interrupts_held_back, worker_pool

MASK = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"


def born_deaf() -> bool:
    return subprocess.run([sys.executable, "-c", MASK], capture_output=True, text=True, check=True).stdout == "True\n"


def test_ctrl_c_while_a_process_starts_is_heard_after():
    deaf = []

    def start() -> None:
        with interrupts_held_back():
            signal.raise_signal(signal.SIGINT)
            deaf.append(born_deaf())

    with pytest.raises(KeyboardInterrupt):
        start()
    assert [*deaf, born_deaf()] == [True, False]


def test_nor_does_the_first_process_of_all_hear_it():
    """Which multiprocessing starts a tracker before, whose start lets interrupts through."""
    first = "from multiprocessing import resource_tracker; from campaigns.workers import interrupts_held_back"
    script = f"{first}\nwith interrupts_held_back():\n    resource_tracker.getfd()\n    {MASK}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def interrupted() -> None:
    signal.raise_signal(signal.SIGINT)


def test_a_pool_ends_at_ctrl_c():
    with worker_pool(1) as pool, pytest.raises(BrokenProcessPool):
        pool.submit(interrupted).result()
