"""Rows that follow from a crystal alone, computed once in a process: every round asks again for all those measured."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b
from threading import Lock

import torch
from pymatgen.core import Structure
from torch import Tensor

from campaigns.crystals import crystal_to_json

MOST_ROWS = 262_144  # of about a kilobyte each with what they are found by

_known: OrderedDict[Hashable, Tensor] = OrderedDict()
_lock = Lock()


def rows_of(crystals: Sequence[Structure], what: Hashable, compute: Callable[[Sequence[Structure]], Tensor]) -> Tensor:
    """`compute(crystals)`, `[n, p]`, asked only for those whose row for `what` is not remembered.

    A row must depend on its crystal and on `what` alone.
    """
    if not crystals:
        return compute([])
    keys = [(what, _digest(crystal)) for crystal in crystals]
    found: dict[Hashable, Tensor] = {}
    with _lock:
        for key in keys:
            if key in _known:
                _known.move_to_end(key)
                found[key] = _known[key]
    lacking = {key: crystal for key, crystal in zip(keys, crystals, strict=True) if key not in found}
    if lacking:
        # cloned: a row that is kept must not keep the batch that it was computed with
        rows = [row.clone() for row in compute(list(lacking.values()))]
        found.update(zip(lacking, rows, strict=True))
        with _lock:
            _known.update(zip(lacking, rows, strict=True))
            while len(_known) > MOST_ROWS:
                _known.popitem(last=False)
    return torch.stack([found[key] for key in keys])


def _digest(crystal: Structure) -> bytes:
    """Of cell, sites and species as they stand, to the last bit."""
    return blake2b(crystal_to_json(crystal).encode(), digest_size=16).digest()
