"""What a task and an arm are.

An arm is a pure function of the task, of what was measured so far, and of a seed; what it keeps on disk only spares it
work. Latents are those of the bundled generator, float64 `[d]`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from pymatgen.core import Structure
from torch import Tensor

from campaigns.spec import CampaignSpec
from generative.protocols import Generator
from optimizer.objective import CampaignObjective, Values
from optimizer.references import ReferenceTable

BATCH = 8


@dataclass(frozen=True, eq=False)
class Proposal:
    """A latent `[d]` or a crystal, never both; `label` says which part of the arm made it."""

    z: Tensor | None = None
    crystal: Structure | None = None
    label: str = ""

    def __post_init__(self) -> None:
        if (self.z is None) == (self.crystal is None):
            raise ValueError("a proposal is a latent or a crystal")


@dataclass(frozen=True, eq=False)
class Answer:
    """What was charged for a proposal: the crystal that was measured, and its values, or a failure code.

    `z` is the encoder's mean of `crystal`, None where it has none. `name` names the crystal where the task has a list.
    """

    crystal: Structure
    z: Tensor | None
    values: Values
    failure: str | None = None
    name: str | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Row:
    """One call. Round 0 is the start; `label` is "start", what the proposal said, or "filled"."""

    round: int
    label: str
    answer: Answer


@dataclass(frozen=True, eq=False)
class History:
    """Every call so far, in the order they were charged."""

    rows: tuple[Row, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def rounds(self) -> int:
        """How many rounds there were, the start included; the number of the next one."""
        return 1 + max((row.round for row in self.rows), default=-1)

    def of_round(self, number: int) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.round == number)

    @cached_property
    def located(self) -> tuple[Row, ...]:
        """Rows whose crystal has a latent."""
        return tuple(row for row in self.rows if row.answer.z is not None)

    @cached_property
    def z(self) -> Tensor:
        """Latents of the located rows, `[k, d]`."""
        return torch.stack([row.answer.z for row in self.located if row.answer.z is not None])

    @property
    def values(self) -> list[Values]:
        """Of the located rows."""
        return [row.answer.values for row in self.located]

    def left(self, task: Task) -> list[Structure]:
        """What is not measured yet of the task's list, in its order."""
        taken = {row.answer.name for row in self.rows}
        return [crystal for name, crystal in task.listed.items() if name not in taken]

    def merits(self, objective: CampaignObjective) -> Tensor:
        """One number per located row, `[k]`, higher is better: its place from the end in the campaign's ranking,
        feasible before violating before failed. For arms that only compare."""
        order = objective.ranking(self.values)
        found = torch.zeros(len(self.located), dtype=torch.float64)
        for place, i in enumerate(order):
            found[i] = len(order) - place
        return found


class Task(Protocol):
    """A campaign with its oracle. `figures` is JSON-able and stands in the header of every run: what makes two runs
    comparable (generator, data), and for a pool the sets of names that count as hits."""

    @property
    def name(self) -> str: ...
    @property
    def spec(self) -> CampaignSpec: ...
    @property
    def objective(self) -> CampaignObjective: ...
    @property
    def generator(self) -> Generator: ...
    @property
    def references(self) -> ReferenceTable: ...
    @property
    def figures(self) -> Mapping[str, Any]: ...
    @property
    def listed(self) -> Mapping[str, Structure]:
        """All that can be measured, by name, where that is a list that any arm may look at; empty in open space."""
        ...

    def start(self, seed: int) -> list[Answer]:
        """What every arm begins with, charged."""
        ...

    def measure(self, proposals: Sequence[Proposal], n: int, history: History, seed: int) -> list[tuple[int, Answer]]:
        """Of the proposals in their order the first n that may be measured: `(index into proposals, answer)`.

        Each of them is charged.
        """
        ...

    def finished(self, history: History) -> bool:
        """Nothing is left to find."""
        ...

    def restore(self, records: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Answers from what `record` wrote of them."""
        ...

    def record(self, answer: Answer) -> dict[str, Any]:
        """JSON-able; `restore` gives the answer back."""
        ...

    def close(self) -> None:
        """Let go of whatever measures."""
        ...


class Arm(Protocol):
    def propose(self, task: Task, history: History, n: int, seed: int) -> Sequence[Proposal]:
        """At least n proposals, best first, where the arm has that many: what a screen refuses is passed over."""
        ...


@dataclass(frozen=True)
class TaskContext:
    """`data` is the table named on the command line; `cache` a folder for what is worth keeping between runs."""

    data: Path | None
    cache: Path


@dataclass(frozen=True)
class ArmContext:
    """`folder` is this run's own, for what the arm keeps; `seed` is the run's."""

    folder: Path
    seed: int
    budget: int
    say: Callable[[str], None] = field(default=lambda text: None, compare=False)
