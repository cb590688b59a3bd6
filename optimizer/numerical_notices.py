"""Notices of BoTorch and its linear algebra that say what was done, not what is wrong."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from botorch.exceptions import BotorchWarning
from linear_operator.utils.warnings import NumericalWarning


@contextmanager
def expected_notices() -> Iterator[None]:
    """Silence three notices BoTorch handles itself: it adds jitter, resamples, or bounds the infeasible
    value.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A not p.d., added jitter", category=NumericalWarning)
        warnings.filterwarnings("ignore", message="Low-rank cholesky updates failed", category=BotorchWarning)
        warnings.filterwarnings("ignore", message="When all training points are infeasible", category=BotorchWarning)
        yield
