"""Where two campaign specs differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from campaigns.errors import LedgerError
from campaigns.spec import CampaignSpec

MAY_CHANGE = ("budget", "export", "workers", "device", "cache", "executor", "ledger")
"""Keys of a spec that may differ on resume: none of them decides which crystal comes next."""


def spec_changes(old: CampaignSpec, new: CampaignSpec, folder: Path) -> list[tuple[str, Any, Any]]:
    """(YAML path, old, new) of what differs. Raises LedgerError naming the first that may not."""
    was, now, changed = old.model_dump(mode="json"), new.model_dump(mode="json"), []
    for key in now:
        for where, before, after in differences(was[key], now[key], key):
            if key not in MAY_CHANGE:
                raise LedgerError(
                    f"{where}: is {after!r}, but the campaign in {folder} was started with {before!r}.",
                    f"Change it back, or give the new campaign another `name` than {new.name!r}.",
                )
            changed.append((where, before, after))
    return changed


def check_same_oracles(answered: Iterable[tuple[str, str]], oracles: Mapping[str, str], folder: Path) -> None:
    """Raises LedgerError where an oracle (stage -> version) is not the one whose answers (stage, version) are kept.

    One surrogate and one ranking would take the values of both for the same thing.
    """
    for stage, version in sorted(answered):
        if (now := oracles.get(stage, version)) != version:
            raise LedgerError(
                f"{stage}: is {now!r} now, but the campaign in {folder} has values of {version!r}.",
                "Bring back the file or the package that it was, or give the campaign another `name`.",
            )


def differences(old: Any, new: Any, path: str) -> Iterable[tuple[str, Any, Any]]:
    """(dotted path, old, new) of every leaf that differs between two JSON trees; `path` is where they stand."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from differences(old.get(key), new.get(key), f"{path}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (was, now) in enumerate(zip(old, new, strict=True)):
            yield from differences(was, now, f"{path}.{index}")
    elif old != new:
        yield path, old, new
