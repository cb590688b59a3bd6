"""What follows from a crystal alone, computed once in a process: every round asks again for all those measured."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b
from threading import Lock
from typing import Any, TypeVar

import torch
from pymatgen.core import Structure
from torch import Tensor

from campaigns.crystals import crystal_to_json, momentary

AT_ONCE = 512  # crystals parsed: a resumed campaign may ask for 10,000
MOST = 262_144  # of a kilobyte each at most, with what they are found by

T = TypeVar("T")
_known: OrderedDict[Hashable, Any] = OrderedDict()
_lock = Lock()


def remembered(
    crystals: Sequence[Structure], what: Hashable, compute: Callable[[Sequence[Structure]], Sequence[T]]
) -> list[T]:
    """`compute(crystals)`, asked only for those of whom nothing is remembered under `what`.

    An answer must depend on its crystal and on `what` alone.
    """
    keys = [(what, _digest(crystal)) for crystal in crystals]
    found: dict[Hashable, T] = {}
    with _lock:
        for key in keys:
            if key in _known:
                _known.move_to_end(key)
                found[key] = _known[key]
    lacking = {key: crystal for key, crystal in zip(keys, crystals, strict=True) if key not in found}
    places = list(lacking)
    for some in (places[i : i + AT_ONCE] for i in range(0, len(places), AT_ONCE)):
        answers = compute([momentary(lacking[key]) for key in some])
        found.update(zip(some, answers, strict=True))
        with _lock:
            _known.update(zip(some, answers, strict=True))
            while len(_known) > MOST:
                _known.popitem(last=False)
    return [found[key] for key in keys]


def rows_of(crystals: Sequence[Structure], what: Hashable, compute: Callable[[Sequence[Structure]], Tensor]) -> Tensor:
    """`compute(crystals)`, `[n, p]`, remembered by row."""
    if not crystals:
        return compute([])
    # cloned: a row that is kept must not keep the batch that it was computed with
    return torch.stack(remembered(crystals, what, lambda some: [row.clone() for row in compute(some)]))


def _digest(crystal: Structure) -> bytes:
    """Of cell, sites and species as they stand, to the last bit."""
    return blake2b(crystal_to_json(crystal).encode(), digest_size=16).digest()
