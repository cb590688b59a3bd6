"""Whole campaigns on real crystals with a cheap real potential (EMT), through the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from shared_fixtures import optimize
from tiny_campaigns import PROBE


@pytest.fixture
def write(tmp_path) -> Callable[[dict[str, Any]], Path]:
    """A campaign file in the test's own folder, with probe.py beside it."""

    def to_file(campaign: dict[str, Any]) -> Path:
        (tmp_path / "probe.py").write_text(PROBE)
        path = tmp_path / f"{campaign['name']}.yaml"
        path.write_text(yaml.safe_dump(campaign))
        return path

    return to_file


__all__ = ["optimize", "write"]
