"""What every oracle that takes crystals one by one shares: the clock, and failures as values."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pymatgen.core import Structure

from campaigns.records import Failed, FailureCode, Measured, is_value


def one_by_one(
    xs: Sequence[Structure], measure: Callable[[Structure], Measured | Failed]
) -> Iterator[tuple[int, Measured | Failed]]:
    """Yield `(index, outcome)` with its seconds; an exception or a value not finite becomes a `Failed`."""
    for index, crystal in enumerate(xs):
        started = time.monotonic()
        try:
            outcome = finite_or_failed(measure(crystal))
        except Exception as error:  # one crystal must not end the campaign
            outcome = Failed(FailureCode.ORACLE_ERROR, f"{type(error).__name__}: {error}")
        yield index, replace(outcome, seconds=time.monotonic() - started)


def finite_or_failed(outcome: Measured | Failed) -> Measured | Failed:
    """INVALID_VALUE in place of any NaN or infinity, or a number that no property can have."""
    if isinstance(outcome, Measured):
        for name, value in outcome.values.items():
            if not is_value(float(value)):
                return Failed(FailureCode.INVALID_VALUE, f"{name} came out as {value}")
    return outcome
