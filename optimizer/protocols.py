"""What an oracle and an acquisition must do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from pymatgen.core import Structure
from torch import Tensor

from campaigns.records import Failed, FailureCode, Measured, Property
from campaigns.search_space import SearchSpace
from generative.protocols import DecodeFailure, Generator

if TYPE_CHECKING:  # BoTorch takes seconds to import, and workers that evaluate crystals need none of it
    from optimizer.objective import CampaignObjective
    from surrogates.protocols import FittedSurrogate


@dataclass(frozen=True)
class OracleContext:
    """What an oracle is built with. Relative paths in its parameters start at `folder`, the campaign file's;
    `references` are the campaign's own tables of known crystals."""

    device: str  # "cpu" or "cuda"
    folder: str = "."
    references: tuple[str, ...] = ()


class Oracle(Protocol):
    """Crystal -> Measured or Failed. Stages of a cascade: each sees the crystal the one before it returned.

    Three things an oracle may say of itself, all false where it is silent: `changes_crystal`, that it returns another
    geometry than it was given, and `of_geometry`, that what it measures belongs to one geometry. A campaign in which
    the first comes behind the second is refused. `external`: values come through ask and tell, and `evaluate` answers
    every crystal with a Failed. Where it has `notes`, sentences, `optimize check` prints them.

    An oracle that is quickest with many crystals says with how many: `together`, 1 where it is silent. It gets crystals
    of several seeds at once, so its answers must not depend on `seed`. Nor may those of an oracle that calls itself
    `repeatable`: what it said of a crystal is not asked again.
    """

    version: str  # names the code and the weights that decide the answer
    properties: tuple[Property, ...]
    nominal_seconds: float  # rough cost of one crystal on one core; the dearest stage is the one that is budgeted

    def evaluate(self, xs: Sequence[Structure], *, seed: int) -> Iterator[tuple[int, Measured | Failed]]:
        """Yield `(index into xs, outcome)` as each finishes; exactly one outcome per crystal."""
        ...


@dataclass(frozen=True)
class ExecutorContext:
    """What an executor kind is built with: how many workers the campaign asks for, None where it does not say, and
    whether a single one must leave this process free for others.
    """

    workers: int | None
    apart: bool = False


class TaskLost(Exception):
    """Stands in a future whose task was given up: its worker died (WORKER_DIED) or took too long (TIMED_OUT), as often
    as the executor tries. `seconds` are those of the last attempt.
    """

    def __init__(self, code: FailureCode, message: str, seconds: float = 0.0) -> None:
        super().__init__(code, message, seconds)
        self.code, self.message, self.seconds = code, message, seconds


class Workers(Protocol):
    """Where candidates are evaluated. Building one starts nothing; `check` does it."""

    @property
    def count(self) -> int:
        """How many tasks are worth having in hand at once."""
        ...

    def start(self, initializer: Callable[..., None], initargs: tuple[Any, ...]) -> Executor:
        """Workers that have run `initializer(*initargs)` once before their first task.

        A future ends with the task's result, the task's exception, or TaskLost. Where the executor itself is of no more
        use futures and `submit` raise concurrent.futures.BrokenExecutor; another one may be started then. Two things it
        may have: `in_process`, true where tasks run in this process and no initializer does, and `abandon()`, to end
        what is in hand before `shutdown`.
        """
        ...


@dataclass(frozen=True)
class StartContext:
    """What a start is built with. `properties` are those the objectives and constraints read; `sources` tells the unit
    and the version of the oracle of every property that is measured."""

    folder: str
    properties: tuple[str, ...]
    sources: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class StartCrystal:
    """One crystal to begin with. `values` are measurements it came with: they cost no oracle call; `flags` are what was
    to be careful about with them."""

    crystal: Structure
    values: Mapping[str, float] | None = None
    source: str = ""  # where it came from, for the ledger: a row, a file, a candidate of another campaign
    z: Tensor | None = None  # [d], where it was decoded from a latent
    flags: tuple[str, ...] = ()
    uncertainties: Mapping[str, float] = field(default_factory=dict)  # of values, a standard deviation, where stated


class Start(Protocol):
    """Where a campaign begins. Bad rows are values: they are skipped and counted, never dropped in silence."""

    def crystals(
        self, generator: Generator, space: SearchSpace, *, seed: int
    ) -> Iterator[StartCrystal | DecodeFailure]:
        """Yield until exhausted; the loop screens them, takes at most `limit` and charges what has no values."""
        ...

    @property
    def limit(self) -> int | None:
        """How many admitted crystals to take; None for all."""
        ...

    @property
    def allow_known(self) -> bool:
        """May known materials be taken? A user's own crystals may, generated ones not."""
        ...


@dataclass(frozen=True)
class ProposalContext:
    """What an acquisition chooses from and must respect.

    Rows are what the surrogate was fitted to: a latent, and unless the campaign leaves them out the descriptors of the
    crystal it decodes to. pool `[n, d]`: crystals that passed every screen; proposals are rows of it.
    observed_z `[k, d]`: measured already.   pending `[p, d]`: proposed, not measured yet.
    """

    pool: Tensor
    observed_z: Tensor
    pending: Tensor
    device: torch.device
    space: SearchSpace

    @property
    def already_pending(self) -> Tensor:
        """Which rows of the pool are pending, bool `[n]` on the CPU. They come last, whatever they are worth."""
        same = [torch.isclose(self.pool, row, rtol=1e-6, atol=1e-9).all(dim=-1) for row in self.pending]
        return torch.stack(same).any(dim=0) if same else torch.zeros(len(self.pool), dtype=torch.bool)


class Acquisition(Protocol):
    """Posterior -> the next batch."""

    def propose(
        self,
        fitted: FittedSurrogate,
        objective: CampaignObjective,
        context: ProposalContext,
        *,
        q: int,
        seed: int,
    ) -> Tensor:
        """Indices into `context.pool` of the chosen batch, `[q]` (fewer where the pool is smaller), best first."""
        ...


@runtime_checkable
class DifferentiableAcquisition(Acquisition, Protocol):
    """An acquisition whose gradients a round may follow before it chooses."""

    def gain(
        self, fitted: FittedSurrogate, objective: CampaignObjective, context: ProposalContext, *, q: int, seed: int
    ) -> Callable[[Tensor], Tensor]:
        """From q rows `[q, w]` to what each adds to the others, to what is pending and to what was measured, `[q]`, in
        logarithms and on the context's device. The pool is not looked at. Each is differentiable in its own row alone:
        but for a factor, that is the gradient of what the batch is worth together.
        """
        ...
