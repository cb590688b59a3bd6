"""Nothing that a test makes is kept in the user's own cache, and Ctrl-C is what it is in a terminal."""

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
