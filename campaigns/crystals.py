"""A crystal as one line of JSON, for the ledger.

Lattice matrix (angstrom), species and fractional coordinates are written with Python's shortest exact
decimals, so the floats read are the floats written. Site properties and total charge are dropped.
"""

from __future__ import annotations

import json

from pymatgen.core import Structure


def crystal_to_json(crystal: Structure) -> str:
    """Structure -> `{"lattice": 3x3, "species": [n], "coords": [n x 3]}`. ValueError where disordered."""
    if not crystal.is_ordered:
        raise ValueError(f"{crystal.formula} is disordered; only ordered crystals can be recorded")
    return json.dumps(
        {
            "lattice": crystal.lattice.matrix.tolist(),
            "species": [str(site.specie) for site in crystal],
            "coords": crystal.frac_coords.tolist(),
        },
        separators=(",", ":"),
        allow_nan=False,
    )


def crystal_from_json(text: str) -> Structure:
    """The inverse of `crystal_to_json`: same order of sites, same floats."""
    data = json.loads(text)
    return Structure(data["lattice"], data["species"], data["coords"])
