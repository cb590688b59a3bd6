"""What tests install for themselves: only where it is allowed, never for long, and a skipped test says why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import system_packages
from system_packages import SWITCH, install


@pytest.fixture
def called(tmp_path, monkeypatch) -> Path:
    """Calls of an apt-get that fails: root's, and the only one there is."""
    program = tmp_path / "apt-get"
    said = f'echo "$DEBIAN_FRONTEND $*" >> {tmp_path}/calls; echo "E: No network" >&2'
    program.write_text(f"#!/bin/sh\n{said}\nexit 100\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv(SWITCH, raising=False)
    return tmp_path / "calls"


def test_nothing_is_called_where_it_is_not_allowed(called, monkeypatch):
    monkeypatch.setenv(SWITCH, "no")
    assert install("chromium") == "LATENTORE_APT=no"
    monkeypatch.delenv(SWITCH)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert install("chromium") == "not root"
    assert not called.exists()


def test_without_apt_get_it_says_so(called, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert install("chromium") == "no apt-get"


def test_what_cannot_be_fetched_is_not_installed_and_the_reason_is_told(called):
    assert install("chromium") == "apt-get: E: No network"
    steps = called.read_text().splitlines()
    assert all(step.startswith("noninteractive ") for step in steps)
    assert ["update" in step for step in steps] == [False, True, False]
    assert all("--download-only" in step or "update" in step for step in steps)


def test_what_hangs_is_ended(called, monkeypatch):
    Path(called.parent / "apt-get").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    monkeypatch.setattr(system_packages, "FETCHING", 0.2)
    assert install("chromium") == "apt-get took too long"
