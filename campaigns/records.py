"""What a campaign records: properties, candidates, and the two ways an evaluation can end.

Failures are values. An evaluation yields `Measured` or `Failed`, never NaN, never nothing.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # pymatgen takes most of a second to import and `optimize --help` must not pay for it
    from pymatgen.core import Structure

PROPERTY_NAME = re.compile(r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$")


class FailureCode(StrEnum):
    """Why a candidate went no further. The value is what stands in the ledger."""

    # encoding and decoding
    ENCODE_NO_SYMMETRY = "encode_no_symmetry"
    ENCODE_UNSUPPORTED = "encode_unsupported"  # disordered, too many atoms, unknown element
    DECODE_DEAD_END = "decode_dead_end"  # the masks left no way to finish the crystal
    DECODE_INVALID = "decode_invalid"
    # screening, before any oracle call
    OUTSIDE_SPACE = "outside_space"
    TOO_CLOSE = "too_close"
    NOT_NEUTRAL = "not_neutral"
    DUPLICATE = "duplicate"
    KNOWN = "known"
    # relaxation
    COLLAPSED = "collapsed"
    EXPLODED = "exploded"
    ISOLATED_ATOM = "isolated_atom"
    UNCONVERGED = "unconverged"
    TIMED_OUT = "timed_out"
    CALCULATOR_ERROR = "calculator_error"
    # kept out of a stage on purpose
    STOPPED_BY_RULE = "stopped_by_rule"
    STAGE_BUDGET_SPENT = "stage_budget_spent"
    # properties
    EOS_NO_MINIMUM = "eos_no_minimum"
    EOS_BAD_FIT = "eos_bad_fit"
    ELASTIC_UNSTABLE = "elastic_unstable"
    NO_REFERENCE = "no_reference"
    NOT_FOUND = "not_found"
    INVALID_VALUE = "invalid_value"
    ORACLE_ERROR = "oracle_error"
    WORKER_DIED = "worker_died"
    EXTERNAL_FAILURE = "external_failure"  # told by whoever measured it elsewhere


NO_FAILURE = frozenset({FailureCode.STOPPED_BY_RULE, FailureCode.STAGE_BUDGET_SPENT})
"""Codes of candidates that were kept out of a stage: what was measured before counts as it stands."""


@dataclass(frozen=True)
class Property:
    """A named number. The unit stands in the name (`bulk_modulus_gpa`) and, readable, in `unit` ("GPa")."""

    name: str
    unit: str
    description: str

    def __post_init__(self) -> None:
        if not PROPERTY_NAME.match(self.name):
            raise ValueError(f"property name {self.name!r} must be lower_snake_case with its unit, like band_gap_ev")


UNCERTAINTIES = "uncertainties"
LARGEST_VALUE = 1e30
"""No property in any unit is larger; a few such numbers would leave nothing finite in a mean or a variance."""


def is_value(number: float) -> bool:
    """Whether a property can have this value."""
    return math.isfinite(number) and abs(number) <= LARGEST_VALUE


@dataclass(frozen=True, slots=True)
class Measured:
    """One oracle's answer for one crystal.

    `crystal` is the crystal the values belong to (the relaxed one after a relaxation; otherwise the input).
    `values` maps property name to a finite float; `flags` are short words that qualify them (`hull_sparse`);
    `details` is JSON-able extra information (number of known phases, steps taken); under `UNCERTAINTIES` it may map
    properties to the standard deviation of their value, in the property's unit.
    """

    values: Mapping[str, float]
    crystal: Structure
    flags: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """One oracle's refusal for one crystal: the code for counting, the message for reading."""

    code: FailureCode
    message: str
    seconds: float = 0.0


Outcome = Measured | Failed


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What one stage of the oracle cascade said about one candidate."""

    stage: str  # oracle kind
    oracle_version: str
    outcome: Outcome


def last_values(stages: Iterable[StageOutcome]) -> dict[str, float]:
    """Property -> the last value measured for it; what a failed candidate did give is included."""
    values: dict[str, float] = {}
    for stage in stages:
        if isinstance(stage.outcome, Measured):
            values.update(stage.outcome.values)
    return values


def last_uncertainties(stages: Iterable[StageOutcome]) -> dict[str, float]:
    """Property -> standard deviation of its last value, in its unit; those without a stated one are left out."""
    found: dict[str, float] = {}
    for stage in stages:
        if isinstance(stage.outcome, Measured):
            stated = stage.outcome.details.get(UNCERTAINTIES, {})
            for name in stage.outcome.values:
                found.pop(name, None)
                if name in stated:
                    found[name] = stated[name]
    return found


def all_flags(stages: Iterable[StageOutcome]) -> tuple[str, ...]:
    """Every flag of every stage that measured, once, in the order they came."""
    measured = (stage.outcome for stage in stages if isinstance(stage.outcome, Measured))
    return tuple(dict.fromkeys(flag for outcome in measured for flag in outcome.flags))


def first_failure(stages: Iterable[StageOutcome]) -> Failed | None:
    """What the candidate failed at, or None where every stage that it entered measured it."""
    failed = (stage.outcome for stage in stages if isinstance(stage.outcome, Failed))
    return next((outcome for outcome in failed if outcome.code not in NO_FAILURE), None)


def kept_out(stages: Iterable[StageOutcome]) -> Failed | None:
    """The rule or budget that kept the candidate out of a stage, or None."""
    failed = (stage.outcome for stage in stages if isinstance(stage.outcome, Failed))
    return next((outcome for outcome in failed if outcome.code in NO_FAILURE), None)


def final_crystal(stages: Iterable[StageOutcome], proposed: Structure) -> Structure:
    """The crystal the last stage that measured returned (the relaxed one), or the proposed one."""
    measured = [stage.outcome for stage in stages if isinstance(stage.outcome, Measured)]
    return measured[-1].crystal if measured else proposed


@dataclass(frozen=True, slots=True)
class Candidate:
    """One crystal with its lineage. `id` is unique in the campaign and sorts in the order of proposal.

    `z` is the latent that `crystal` was decoded from, floats `[d]`, or None where it came from elsewhere; see
    `campaigns.ledger.Latent` for what the surrogate sees. `predicted` maps property to (mean, standard deviation) at
    proposal.
    """

    id: str
    round: int
    arm: str  # who proposed it: the start's kind, or the acquisition's
    crystal: Structure
    z: Sequence[float] | None
    generator_version: str
    parent: str | None = None
    predicted: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.z is not None:
            object.__setattr__(self, "z", packed(self.z))


def packed(numbers: Sequence[float]) -> Sequence[float]:
    """The same in 8 bytes each, a quarter of a tuple's: a campaign holds thousands of latents at once."""
    return array("d", numbers)
