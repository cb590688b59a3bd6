"""Fixtures that several folders of tests share; a conftest.py takes in what its folder needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest

from optimizer import cli


@pytest.fixture
def optimize(monkeypatch, capsys, tmp_path) -> Callable[..., tuple[int, str, str]]:
    """Run the console entry in the test's folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["optimize", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return call


@pytest.fixture(scope="session", autouse=True)
def caches_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a kind keeps in the user's cache folder, workers' too, goes to a temporary one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
