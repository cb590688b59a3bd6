"""The mean of a Gaussian process that begins with a cheap prediction of the outcome.

The process then models what the prediction leaves over, and where there are no data it falls back to the prediction and
not to the average: tens of observations near one another say nothing of a crystal that is unlike all of them.
"""

from __future__ import annotations

import torch
from gpytorch.means import Mean
from gpytorch.priors import NormalPrior
from torch import Tensor

SLOPE_SD = 0.5  # how far the slope may be from 1, which is what a right prediction has


class PredictedMean(Mean):
    """constant + slope * unit * (x[..., column] - 1/2), with a normal prior of mean 1 on the slope.

    `unit` is what a step of 1 in the scaled column is in standardised outcomes where the prediction is right.
    """

    def __init__(self, column: int, unit: float) -> None:
        super().__init__()
        self.column, self.unit = column, unit
        self.register_parameter("constant", torch.nn.Parameter(torch.zeros(())))
        self.register_parameter("slope", torch.nn.Parameter(torch.ones(())))
        self.register_prior("slope_prior", NormalPrior(1.0, SLOPE_SD), "slope")

    def forward(self, x: Tensor) -> Tensor:
        """Means `[..., n]` of inputs `[..., n, d]`."""
        return self.constant + self.slope * self.unit * (x[..., self.column] - 0.5)
