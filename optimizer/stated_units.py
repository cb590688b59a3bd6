"""Units that a campaign file names itself, for properties whose names need not end in one."""

from __future__ import annotations

from collections.abc import Mapping

from campaigns.spec import CampaignSpec


def stated_units(spec: CampaignSpec) -> dict[str, str]:
    """Property -> unit, of `python`, `external`, `lookup` and `predictor` oracles."""
    found: dict[str, str] = {}
    for oracle in spec.oracles:
        named = oracle.params.get("properties")
        if isinstance(named, Mapping):
            units = {name: unit["unit"] if isinstance(unit, Mapping) else unit for name, unit in named.items()}
            found |= {str(name): str(unit) for name, unit in units.items()}
        elif isinstance(name := oracle.params.get("property"), str) and isinstance(oracle.params.get("unit"), str):
            found[name] = str(oracle.params["unit"])
    return found
