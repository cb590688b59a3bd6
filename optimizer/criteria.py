"""What a row of a pool is worth beside the anchors that are measured, pending or chosen: three criteria on samples.

Expected improvement for one goal, expected hypervolume improvement for two, and while nothing is feasible the
probability that something is; in logarithms that do not vanish, with BoTorch's smoothing (S. Ament, S. Daulton, D.
Eriksson, M. Balandat & E. Bakshy, "Unexpected Improvements to Expected Improvement for Bayesian Optimization", NeurIPS
2023). Differentiable in the samples of the rows.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from botorch.acquisition.logei import TAU_RELU
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.objective import GenericMCObjective
from botorch.utils.objective import compute_smoothed_feasibility_indicator
from botorch.utils.safe_math import fatplus, log1mexp, log_fatplus, logmeanexp
from torch import Tensor

from optimizer.staircase import Staircase

ETA = 1e-3  # temperature of the smoothed constraints, BoTorch's
LEAST_GAIN = 1e-12  # relative, in the probability of feasibility: for its logarithm


class Criterion(Protocol):
    """What a batch is chosen by; its state is what the anchors' samples imply."""

    def scores(self, samples: Tensor) -> Tensor:
        """Logarithm of what each row adds to the anchors, `[k]`, from its samples `[s, k, m]`."""
        ...

    def add(self, samples: Tensor) -> None:
        """More anchors, by their samples `[s, n, m]`."""
        ...


class LogImprovement:
    """Log of the expected improvement of one goal over the best feasible anchor of each sample."""

    def __init__(self, objective: GenericMCObjective, constraints: list[Any], lowest: Tensor) -> None:
        self.objective, self.constraints, self.lowest = objective, constraints, lowest
        self.best: Tensor | None = None  # [s]

    def add(self, samples: Tensor) -> None:
        values = self.objective(samples)
        values = torch.where(feasible(self.constraints, samples), values, self.lowest)
        best = self.lowest.expand(len(values)) if self.best is None else self.best
        self.best = torch.cat([best[:, None], values], dim=1).amax(1)

    def scores(self, samples: Tensor) -> Tensor:
        assert self.best is not None
        gain = log_fatplus(self.objective(samples) - self.best[:, None], tau=TAU_RELU)
        return logmeanexp(gain + log_feasible(self.constraints, samples), dim=0)


class LogHypervolumeImprovement:
    """Log of the expected gain in the area that feasible anchors have above `reference [2]` in each sample."""

    def __init__(self, objective: GenericMCMultiOutputObjective, constraints: list[Any], reference: Tensor) -> None:
        self.objective, self.constraints, self.reference = objective, constraints, reference
        self.values: Tensor | None = None  # [s, n, 2]
        self.stairs: Staircase | None = None

    def add(self, samples: Tensor) -> None:
        kept = feasible(self.constraints, samples)[..., None]
        values = torch.where(kept, self.objective(samples), self.reference)
        self.values = values if self.values is None else torch.cat([self.values, values], dim=1)
        self.stairs = Staircase(self.values, self.reference)

    def scores(self, samples: Tensor) -> Tensor:
        assert self.stairs is not None
        y = self.objective(samples)
        # beyond the front the area is exact; smoothed is how far behind it a dominated sample lies
        tail = fatplus(self.stairs.behind(y).clamp_max(0), tau=TAU_RELU) ** 2
        gain = (self.stairs.gain(y) + tail).log()
        return logmeanexp(gain + log_feasible(self.constraints, samples), dim=0)


class LogFeasibility:
    """Log of what the row adds to the probability that anything is feasible."""

    def __init__(self, constraints: list[Any]) -> None:
        self.constraints = constraints
        self.best: Tensor | None = None  # [s], log of the smoothed indicator that something is

    def add(self, samples: Tensor) -> None:
        likely = log_feasible(self.constraints, samples)
        before = likely.new_full((len(likely),), -torch.inf) if self.best is None else self.best
        self.best = torch.cat([before[:, None], likely], dim=1).amax(1)

    def scores(self, samples: Tensor) -> Tensor:
        assert self.best is not None
        likely = log_feasible(self.constraints, samples)
        behind = (self.best[:, None] - likely).clamp_max(-LEAST_GAIN)
        gain = torch.where(likely > self.best[:, None], likely + log1mexp(behind), -torch.inf)
        return logmeanexp(gain, dim=0)


def feasible(constraints: list[Any], samples: Tensor) -> Tensor:
    """Which samples `[s, n, m]` break no constraint, bool `[s, n]`."""
    return torch.stack([constraint(samples) <= 0 for constraint in constraints]).all(0)


def log_feasible(constraints: list[Any], samples: Tensor) -> Tensor:
    """The same, smoothed: logarithms `[s, n]`."""
    return compute_smoothed_feasibility_indicator(constraints, samples, eta=ETA, log=True, fat=True)
