"""A crystal as one line of JSON, for the ledger.

Lattice matrix (angstrom), species and fractional coordinates are written with Python's shortest exact
decimals, so the floats read are the floats written. Site properties and total charge are dropped.
"""

from __future__ import annotations

import json
from collections import Counter
from sys import intern
from typing import Any

from pymatgen.core import Composition, Structure


def crystal_to_json(crystal: Structure) -> str:
    """Structure -> `{"lattice": 3x3, "species": [n], "coords": [n x 3]}`. ValueError where disordered."""
    if isinstance(crystal, _Unread):
        return crystal.line()
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


def crystal_to_read(text: str) -> Structure:
    """What `crystal_from_json` gives, parsed at the first look at it.

    Every round reads the whole ledger, and all but the last round's crystals are looked up by their lines alone, which
    take less memory and are there at once. Equal lines are one string: a relaxed crystal is often the proposed one, and
    what remembers something of a crystal may do so by its line.
    """
    found = object.__new__(_Unread)
    found.__dict__["_line"] = intern(text)
    return found


def reduced_formula(crystal: Structure) -> str:
    """As pymatgen writes it; a crystal that is not parsed yet stays so."""
    if isinstance(crystal, _Unread):
        return str(Composition(Counter(json.loads(crystal.line())["species"])).reduced_formula)
    return str(crystal.composition.reduced_formula)


def momentary(crystal: Structure) -> Structure:
    """The same crystal, another object where it is not parsed yet: what is parsed for one question goes with its
    answer, while the ledger's crystals stay lines."""
    return crystal_to_read(crystal.line()) if isinstance(crystal, _Unread) else crystal


class _Unread(Structure):
    """A line that becomes an ordinary Structure when any of its attributes is asked for."""

    def __new__(cls, *arguments: Any, **named: Any) -> Any:
        return Structure(*arguments, **named)  # what methods make of their own class is ordinary, too

    def line(self) -> str:
        return str(self.__dict__["_line"])

    def __getattr__(self, name: str) -> Any:
        line = self.__dict__.get("_line")
        if line is None or name.startswith("__"):
            raise AttributeError(name)
        self.__dict__.update(crystal_from_json(line).__dict__)
        self.__class__ = Structure  # type: ignore[assignment]
        self.__dict__.pop("_line", None)
        return getattr(self, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return crystal_to_read, (self.line(),)
