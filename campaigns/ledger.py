"""What a ledger tells besides candidates and outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from campaigns.owner import Owner
from campaigns.records import Candidate, StageOutcome, packed

STANDS_FOR = ("relaxed", "proposed", "nearest")
LONGEST_SILENCE = timedelta(minutes=10)
"""A lease whose heartbeat is older is taken for abandoned."""
SHARED_SILENCE = timedelta(minutes=2)
"""The same where several hosts share a ledger: others wait for the candidate, and nothing is lost if it lives on."""


@dataclass(frozen=True)
class RoundRecord:
    """One finished phase of one round."""

    round: int
    phase: str
    failures: Mapping[str, int]  # failure code -> count
    figures: Mapping[str, Any]
    finished_at: str  # UTC, ISO 8601


@dataclass(frozen=True)
class GeneratorRecord:
    """One generator of the campaign; `artifact` is None for weights that came with the package.

    The store fills in `added_at` when it writes one.
    """

    version: str
    artifact: str | None
    figures: Mapping[str, Any]
    accepted: bool
    added_at: str = ""  # UTC, ISO 8601


@dataclass(frozen=True, slots=True)
class Latent:
    """The latent of a candidate under one generator, and which crystal of the candidate it is.

    `relaxed`: z decodes to the crystal that was measured. `proposed`: it decodes to the one that was proposed.
    `nearest`: nothing that decodes to either was found; z is the encoder's mean.
    """

    z: Sequence[float]  # [d]
    stands_for: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "z", packed(self.z))
        if self.stands_for not in STANDS_FOR:
            raise ValueError(f"a latent stands for one of {', '.join(STANDS_FOR)}, not {self.stands_for!r}")


@dataclass(frozen=True)
class Lease:
    """A candidate that a process has in hand; `owner.since` is when it took it."""

    candidate_id: str
    owner: Owner
    heartbeat_at: str  # UTC, ISO 8601
    silence: timedelta  # since then, by the clock of whoever keeps the ledger
    shared: bool = False  # the ledger may be shared by several hosts

    @property
    def may_live(self) -> bool:
        """False where the process is known to be gone, or has been silent for too long.

        In a shared ledger only silence counts: containers on different hosts may have the same name and pid.
        """
        if self.shared:
            return self.silence <= SHARED_SILENCE
        return self.silence <= LONGEST_SILENCE and self.owner.may_live


@dataclass(frozen=True)
class Claimed:
    """A candidate that this process has just taken, and how many were in hand anywhere before it."""

    candidate: Candidate
    in_hand: int


@dataclass(frozen=True)
class Awaited:
    """A candidate whose last values come from outside. `stages` are what was measured of it here; `handed_out_at` is
    None until files for it were written.
    """

    candidate_id: str
    stages: tuple[StageOutcome, ...]
    handed_out_at: str | None  # UTC, ISO 8601


@dataclass(frozen=True)
class Event:
    """Something a reader of the ledger should know."""

    at: str
    kind: str
    message: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Spent:
    """What the campaign has cost. `calls`: candidates that entered the dearest stage, failures included."""

    calls: int
    stage_counts: Mapping[str, int]  # stage -> outcomes
    stage_failures: Mapping[str, int]  # stage -> failed outcomes
    stage_seconds: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """Oracle seconds over all stages, as the oracles report them."""
        return sum(self.stage_seconds.values())
