"""Notices of libraries that are no news in a benchmark."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_numerics() -> Iterator[None]:
    """Jitter added to a covariance, an optimiser stopped at its limit, inputs off the unit cube by an edge."""
    from botorch.exceptions import BotorchWarning, OptimizationWarning
    from linear_operator.utils.warnings import NumericalWarning

    with warnings.catch_warnings():
        for category in (BotorchWarning, OptimizationWarning, NumericalWarning):
            warnings.simplefilter("ignore", category=category)
        yield
