"""A campaign of cheap oracles that a test drives from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from campaigns.spec import parse_spec
from optimizer.loop import run_campaign

SMALL: dict[str, Any] = {
    "name": "small",
    "device": "cpu",
    "workers": 1,
    "space": {"n_elements": 2, "n_atoms": [2, 4]},
    "start": [{"kind": "generator_samples", "n": 3}],
    "oracles": ["volume", "density"],
    "objectives": {"density_g_cm3": "maximize"},
    "pool_size": 16,
    "batch_size": 2,
    "budget": {"oracle_calls": 6},
}


def run_small(folder: Path, **changes: Any) -> Path:
    """Run SMALL with changes in `folder`; the run folder."""
    return run_campaign(parse_spec(SMALL | changes), folder=folder, run_folder=folder / "run", quiet=True)
