"""A posterior over a pool, sampled where a batch is chosen: jointly with its anchors, row by row.

The anchors are what improvement is judged against: measured rows, pending ones, and what was chosen so far. Their
samples are drawn once; those of each row follow given them, from a base sample that all rows share, so that rows differ
by the posterior and not by luck. That is what BoTorch's `cache_root` computes for one candidate after another, here by
one covariance for all and, for each row that is chosen, one more step of the same Cholesky factorisation: a batch costs
little more than its first place.
"""

from __future__ import annotations

from typing import Any

import torch
from botorch.models.model import Model
from botorch.utils.sampling import draw_sobol_normal_samples
from gpytorch.distributions import MultitaskMultivariateNormal
from linear_operator.utils.cholesky import psd_safe_cholesky
from torch import Tensor

LEAST_VARIANCE = 1e-12  # relative to the row's own: below it the anchors say everything


class PoolPosterior:
    """Samples of m outcomes at `anchors [a, d]` and at the rows of `pool [k, d]`; outcomes as if independent."""

    def __init__(
        self, model: Model, anchors: Tensor, pool: Tensor, *, num_samples: int, picks: int, seed: int, chunk: int
    ) -> None:
        """`picks` rows may become anchors later; `chunk` rows are predicted at once."""
        self._model, self._pool = model, pool
        a = len(anchors)
        mean, covariance = joint(model, anchors if a else pool[:1])  # a posterior of nothing is no shape to ask for
        mean, covariance, outcomes = mean[:, :a], covariance[:, :a, :a], len(mean)
        width = (a + picks + 1) * outcomes
        base = draw_sobol_normal_samples(width, num_samples, device=pool.device, dtype=pool.dtype, seed=seed)
        self._base = base.reshape(num_samples, outcomes, a + picks + 1).movedim(1, 0)  # [m, s, a + picks + 1]
        self._used = a
        root = psd_safe_cholesky(covariance) if a else covariance
        drawn = self._base[..., :a]
        self.anchored = (mean[:, None] + drawn @ root.mT).movedim(0, -1)
        """Samples at the anchors given at first, `[s, a, m]`."""
        parts = [_given(model, anchors, root, rows) for rows in pool.split(chunk)]
        mean, weights, left = (torch.cat(each, dim=-1) for each in zip(*parts, strict=True))
        self._mean = mean[:, None] + drawn @ weights  # [m, s, k], given the anchors' samples
        self._weights, self._left, self._all = weights, left, left.clone()  # [m, a, k], [m, k]
        self._covariance: Tensor | None = None

    def samples(self) -> Tensor:
        """Of every row that is left, `[s, k, m]`."""
        spread = self._left.clamp_min(0).sqrt()
        return (self._mean + self._base[..., self._used, None] * spread[:, None]).movedim(0, -1)

    def narrow(self, rows: Tensor) -> None:
        """Only these rows of what is left are asked for from now on."""
        self._pool, self._mean, self._all = self._pool[rows], self._mean[..., rows], self._all[:, rows]
        self._left, self._weights = self._left[:, rows], self._weights[..., rows]
        if self._covariance is not None:
            self._covariance = self._covariance[:, rows][..., rows]

    def anchor(self, row: int) -> Tensor:
        """Its samples `[s, m]`, on which those of the other rows rest from now on. Narrow the rows first: it takes the
        covariance of all that are left."""
        if self._covariance is None:
            _, covariance = joint(self._model, self._pool)
            self._covariance = covariance - self._weights.mT @ self._weights
        chosen = self.samples()[:, row]
        variance = self._left[:, row]
        known = variance <= LEAST_VARIANCE * self._all[:, row].clamp_min(torch.finfo(variance.dtype).tiny)
        step = self._covariance[:, row] * torch.where(known, 0.0, variance.clamp_min(1e-300).rsqrt())[:, None]
        self._mean = self._mean + self._base[..., self._used, None] * step[:, None]
        self._left = self._left - step.square()
        self._covariance = self._covariance - step[:, :, None] * step[:, None]
        self._used += 1
        return chosen


def joint(model: Model, x: Tensor) -> tuple[Tensor, Tensor]:
    """Posterior mean `[m, n]` and covariance `[m, n, n]` of each outcome at `x [n, d]`."""
    means, covariances = [], []
    for each in getattr(model, "models", [model]):
        normal: Any = each.posterior(x).distribution
        covariance, n = normal.covariance_matrix, len(x)
        if not isinstance(normal, MultitaskMultivariateNormal):
            means.append(normal.mean)
            covariances.append(covariance)
            continue
        for task in range(normal.num_tasks):
            places = torch.arange(n, device=x.device)
            places = places * normal.num_tasks + task if normal._interleaved else places + task * n
            means.append(normal.mean[:, task])
            covariances.append(covariance[places][:, places])
    return torch.stack(means), torch.stack(covariances)


def _given(model: Model, anchors: Tensor, root: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of the rows: mean `[m, c]`, weights of the anchors' base samples `[m, a, c]`, variance that is left `[m, c]`."""
    a = len(anchors)
    mean, covariance = joint(model, torch.cat([anchors, rows]))
    weights = torch.linalg.solve_triangular(root, covariance[:, :a, a:], upper=False)
    own = covariance.diagonal(dim1=-2, dim2=-1)[:, a:]
    return mean[:, a:], weights, own - weights.square().sum(-2)
