"""Nothing that a test makes is kept in the user's own cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from optimizer.competing import CACHE_VARIABLE


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
