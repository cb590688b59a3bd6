"""Crystals of the Materials Project by chemical system, with a user's own key: `references fetch`, `mp:Li-Fe-O`.

pymatgen's own client is used; the package mp-api is not needed. The data are under CC BY 4.0.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from campaigns.artifacts import write_durably
from campaigns.elements import SYMBOLS
from campaigns.errors import UserError

KEY_VARIABLES = ("MP_API_KEY", "PMG_MAPI_KEY")
WHERE = "https://next-gen.materialsproject.org/api"


def fetch(systems: Sequence[str], out: Path) -> int:
    """Write `entries` to a JSON that `build` reads; how many they are."""
    found = entries(systems)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_durably(out, json.dumps(found).encode())
    return len(found)


def entries(systems: Sequence[str]) -> list[dict[str, Any]]:
    """Every crystal made of the elements of each system, like Li-Fe-O: `material_id` and a dictionary `structure`.

    Raises UserError for a system that cannot be read, where no key is set, or the service cannot be asked.
    """
    wanted = sorted({name for system in systems for name in _subsystems(system)})
    key = next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), "")
    if not key:
        raise UserError(
            f"no key for the Materials Project: neither {' nor '.join(KEY_VARIABLES)} is set.",
            f"Get one at {WHERE} and `export MP_API_KEY=...`; or bring the crystals as files.",
        )
    found: dict[str, dict[str, Any]] = {}
    from pymatgen.ext.matproj import MPRester

    try:
        client = MPRester(key)
        for name in wanted:
            query = f"materials/summary/?_fields=material_id,structure&deprecated=false&chemsys={name}"
            for row in client.request(query):
                found[str(row["material_id"])] = {
                    "material_id": str(row["material_id"]),
                    "structure": row["structure"].as_dict(),
                }
    except Exception as error:  # a refused key, no network, another answer than expected: pymatgen raises many kinds
        said = " ".join(str(error).split())[:160]
        raise UserError(
            f"the Materials Project cannot be asked ({type(error).__name__}: {said}).",
            "Check the key and the network; or bring the crystals as files.",
        ) from error
    return [found[name] for name in sorted(found)]


def _subsystems(system: str) -> list[str]:
    symbols = sorted(set(system.split("-")))
    if unknown := [symbol for symbol in symbols if symbol not in SYMBOLS]:
        raise UserError(f"{system!r}: {unknown[0]!r} is no element.", "Write systems like Li-Fe-O.")
    return ["-".join(part) for size in range(1, len(symbols) + 1) for part in combinations(symbols, size)]
