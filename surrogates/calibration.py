"""How far a Gaussian process can be trusted, from its own training data and without refitting.

Leave-one-out predictions have a closed form: Rasmussen & Williams, Gaussian Processes for Machine Learning
(2006), equations 5.10 to 5.12. Hyperparameters are those fitted to all rows, so the scores are slightly
optimistic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor


@dataclass(frozen=True)
class LeaveOneOut:
    """Each row predicted from all others: `residual [n]` = observed minus predicted, `variance [n]` > 0."""

    residual: Tensor
    variance: Tensor

    @property
    def log_score(self) -> float:
        """Mean log predictive density per row, nats, higher is better (equation 5.10 divided by n)."""
        squared = self.residual.square() / self.variance
        return float((-0.5 * (self.variance.log() + squared + math.log(2 * math.pi))).mean())

    def coverage(self, level: float) -> float:
        """Fraction of rows inside their central predictive interval of probability `level`, in [0, 1]."""
        half_width = NormalDist().inv_cdf(0.5 + level / 2)
        return float((self.residual.abs() <= half_width * self.variance.sqrt()).double().mean())


def leave_one_out(covariance: Tensor, centred: Tensor) -> LeaveOneOut:
    """Leave-one-out residuals and variances of a Gaussian process.

    covariance `[n, n]`: kernel matrix plus observation noise.   centred `[n]`: observations minus the prior
    mean. Equation 5.12: residual = [K^-1 y]_i / [K^-1]_ii, variance = 1 / [K^-1]_ii. Raises
    torch.linalg.LinAlgError where the covariance is not positive definite.
    """
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    variance = inverse.diagonal().reciprocal()
    return LeaveOneOut(residual=(inverse @ centred) * variance, variance=variance)
