"""Nothing that a test makes is kept in the user's own cache, Ctrl-C is what it is in a terminal, and a test computes on
one thread: processes of tests run side by side, and threads that wait for one another take many times as long.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaigns.user_cache import CACHE_VARIABLE


def pytest_configure() -> None:
    """A shell starts what it puts in the background deaf to Ctrl-C, and tests that send one would wait in vain."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is loaded, which nothing has done yet


@pytest.fixture(autouse=True)
def on_one_thread() -> Iterator[None]:
    """Whatever the test before has set."""
    from generative.threads import one_thread

    with one_thread():
        yield


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    before = os.environ.get(CACHE_VARIABLE)
    place = tmp_path_factory.mktemp("cache")
    os.environ[CACHE_VARIABLE] = str(place)
    yield place
    if before is None:
        del os.environ[CACHE_VARIABLE]
    else:
        os.environ[CACHE_VARIABLE] = before
