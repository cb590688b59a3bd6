"""A pytest plugin: the kinds in the folders beside it are found as if they stood in the packages of their roles.

PYTHONPATH=tests/contracts/broken pytest -p extra_kinds tests/contracts -k broken_
"""

from __future__ import annotations

import importlib
from pathlib import Path

from campaigns.kinds import GROUPS

for role, package in GROUPS.items():
    importlib.import_module(package).__path__.append(str(Path(__file__).parent / role))  # type: ignore[attr-defined]
