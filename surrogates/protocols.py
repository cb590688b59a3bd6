"""What a surrogate must do. Shapes: z `[n, d]`, y `[n, m]`, observed bool `[n, m]`; float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from botorch.models.model import Model
from torch import Tensor


@dataclass(frozen=True)
class SurrogateContext:
    """What a surrogate is built with."""

    device: torch.device
    outcomes: tuple[str, ...]  # names of the m columns of y


@dataclass(frozen=True)
class Block:
    """Columns of z that belong together, `width` of them. `trend`: outcomes follow them beyond the data, too."""

    name: str
    width: int
    trend: bool = False


@dataclass(frozen=True)
class FitHints:
    """What a surrogate may use beside the rows, and may ignore. `before` holds the entries of an earlier report."""

    blocks: tuple[Block, ...] = ()  # of z, in order; one block where empty
    focus: tuple[int, ...] = ()  # rows that matter most: where there are too many, those near them are kept
    before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    predicted: Mapping[str, int] = field(default_factory=dict)  # outcome -> the column of z that is a guess of it


NO_HINTS = FitHints()


@dataclass(frozen=True)
class FitReport:
    """How the fit went, for the ledger: per outcome the kernel, fallbacks and why, leave-one-out score."""

    outcomes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0


class FittedSurrogate(Protocol):
    """A fitted posterior over the m outcomes, in the outcomes' own units."""

    @property
    def model(self) -> Model: ...

    @property
    def report(self) -> FitReport: ...


class Surrogate(Protocol):
    """Fitting returns a fitted object; nothing asks whether it is fitted."""

    def fit(
        self, z: Tensor, y: Tensor, *, observed: Tensor, noise: Tensor | None = None, hints: FitHints = NO_HINTS
    ) -> FittedSurrogate:
        """Fit one posterior per column of `y` to the rows where `observed` holds; the rest is never read.

        `noise [n, m]`: known variance of each observation, in the outcome's unit squared, NaN where it is not known;
        inferred where None or NaN. Raises ValueError for wrong shapes or observed entries that are not finite; data
        alone never make it fail.
        """
        ...
