"""Whole campaigns on real crystals with a cheap real potential (EMT), through the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_campaigns import PROBE

from optimizer import cli


@pytest.fixture
def write(tmp_path) -> Callable[[dict[str, Any]], Path]:
    """A campaign file in the test's own folder, with probe.py beside it."""

    def to_file(campaign: dict[str, Any]) -> Path:
        (tmp_path / "probe.py").write_text(PROBE)
        path = tmp_path / f"{campaign['name']}.yaml"
        path.write_text(yaml.safe_dump(campaign))
        return path

    return to_file


@pytest.fixture
def optimize(monkeypatch, capsys, tmp_path):
    """Run the console entry in the test's folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["optimize", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return call
