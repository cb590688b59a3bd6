"""Descriptors of a task's list, for the rivals that rank it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pymatgen.core import Structure
from torch import Tensor

from benchmarks.search.protocols import History, Task
from optimizer.descriptors import descriptors
from optimizer.references import ReferenceTable
from optimizer.row_memory import rows_of


def described(crystals: Sequence[Structure], references: ReferenceTable) -> Tensor:
    """Descriptors `[n, p]`, computed once for each crystal."""
    return rows_of(crystals, ("described", references.version), lambda some: descriptors(some, references))


@dataclass(frozen=True, eq=False)
class ListDescriptors:
    """`x [n, p]`, one row per crystal."""

    names: tuple[str, ...]
    crystals: tuple[Structure, ...]
    x: Tensor

    @staticmethod
    @lru_cache(maxsize=1)
    def of(task: Task) -> ListDescriptors:
        crystals = tuple(task.listed.values())
        return ListDescriptors(tuple(task.listed), crystals, described(crystals, task.references))

    def left(self, history: History) -> list[int]:
        """Rows that are not measured yet."""
        taken = history.names
        return [i for i, name in enumerate(self.names) if name not in taken]
