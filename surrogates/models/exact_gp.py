"""Exact Gaussian processes, one per outcome, each on the rows where that outcome was observed.

The kernel is chosen by evidence (`surrogates.kernel_choice`). Hyperparameters are fitted to a spread of at most
`fit_rows` rows and kept until the rows have grown by a quarter; every row, up to `max_rows`, then conditions the
posterior. Beyond that the rows nearest to the best ones do, so the model is local where the search is.

Data alone never make a fit fail. What cannot be fitted as asked is fitted more simply, and the report says
how and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from time import perf_counter
from typing import Any

import torch
from botorch.models import ModelListGP
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from surrogates.gp_fitting import FitSettings, fit_outcome
from surrogates.gp_models import Rows
from surrogates.kernels import KERNELS, KernelChoice
from surrogates.protocols import NO_HINTS, Block, FitHints, FitReport, SurrogateContext

HALF_CUBE = 3**0.5  # standard deviations from the middle of an interval to its ends, under a uniform density


class Params(BaseModel):
    """Parameters of `kind: exact_gp`. The step limit counts optimiser iterations, so a resumed run fits the
    same.

    The default stops early: with one length scale per latent dimension and a hundred rows, held-out log
    density falls from about 30 steps on while the marginal likelihood still rises.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kernel: KernelChoice = Field(
        "auto",
        description=f"{', '.join(KERNELS)}; auto: rbf, or what is clearly ahead in cross-validation, never saas.",
    )
    max_steps: int = Field(30, ge=1, le=10_000, description="L-BFGS-B iterations per outcome.")
    fit_rows: int = Field(300, ge=10, description="Hyperparameters are fitted to a spread of at most so many rows.")
    max_rows: int = Field(2000, ge=10, description="Where there are more rows, those nearest to the best count.")


@dataclass(frozen=True)
class FittedExactGP:
    """`model.posterior(z)` is the joint posterior over the m outcomes, in their own units."""

    model: ModelListGP
    report: FitReport


@dataclass(frozen=True)
class ExactGP:
    """The unfitted surrogate: parameters and the names of the outcomes."""

    params: Params
    context: SurrogateContext

    def fit(
        self, z: Tensor, y: Tensor, *, observed: Tensor, noise: Tensor | None = None, hints: FitHints = NO_HINTS
    ) -> FittedExactGP:
        """Fit one GP per column of `y`. z `[n, d]`, y `[n, m]`, observed bool `[n, m]`, noise variances `[n,
        m]`, NaN where not known: those rows get the level that a fit without any stated noise infers.

        Deterministic: the same rows and hints give the same posterior. Raises ValueError for wrong shapes or for
        observed values that are not finite.
        """
        start = perf_counter()
        blocks = hints.blocks or (Block("z", z.shape[-1]),)
        self._check(z, y, observed, noise, blocks)
        place: dict[str, Any] = {"dtype": torch.float64, "device": self.context.device}
        z, y, observed = z.to(**place), y.to(**place), observed.to(self.context.device)
        bounds = _bounds(z, blocks)
        settings = FitSettings(self.params.kernel, self.params.max_steps, self.params.fit_rows)
        local = _nearest(z, bounds, hints.focus, self.params.max_rows)
        models, entries = [], {}
        for column, name in enumerate(self.context.outcomes):
            seen = observed[:, column] & local
            variance = None if noise is None else noise.to(**place)[seen, column, None]
            if variance is not None and variance.isnan().all():
                variance = None
            rows = Rows(z[seen], y[seen, column, None], variance, bounds, blocks, hints.predicted.get(name))
            model, entries[name] = fit_outcome(rows, settings, hints.before.get(name))
            models.append(model.eval().requires_grad_(False))
        return FittedExactGP(ModelListGP(*models), FitReport(entries, perf_counter() - start))

    def _check(self, z: Tensor, y: Tensor, observed: Tensor, noise: Tensor | None, blocks: tuple[Block, ...]) -> None:
        shape = (z.shape[0], len(self.context.outcomes))
        if z.ndim != 2 or z.shape[1] == 0:
            raise ValueError(f"z must be [n, d] with d > 0, not {tuple(z.shape)}")
        if sum(block.width for block in blocks) != z.shape[1]:
            raise ValueError(f"blocks {blocks} do not add up to the {z.shape[1]} columns of z")
        for name, tensor in (("y", y), ("observed", observed), ("noise", noise)):
            if tensor is not None and tuple(tensor.shape) != shape:
                raise ValueError(f"{name} must be [n, m] = {shape}, not {tuple(tensor.shape)}")
        if observed.dtype != torch.bool:
            raise ValueError(f"observed must be bool, not {observed.dtype}")
        if not torch.isfinite(z).all() or not torch.isfinite(y[observed]).all():
            raise ValueError("z and the observed entries of y must be finite")


def build(params: Params, context: SurrogateContext) -> ExactGP:
    """The surrogate for `context.outcomes`, fitted on `context.device`."""
    return ExactGP(params, context)


def _bounds(z: Tensor, blocks: tuple[Block, ...]) -> Tensor:
    """Bounds `[2, d]` over all rows that give a column the spread of a unit interval, so that every outcome's length
    scales speak of the same cube.

    A column in which the rows differ less than in the median one of its block is scaled like that one: a latent that
    the decoder ignores would otherwise be blown up until any new point looks far from everything. Too few rows count
    as standard normal.
    """
    if len(z) < 2:
        middle = z.mean(0) if len(z) else z.new_zeros(z.shape[1])
        return torch.stack([middle - HALF_CUBE, middle + HALF_CUBE])
    spread = z.std(0)
    ends = [0, *accumulate(block.width for block in blocks)]
    for start, end in pairwise(ends):
        typical = spread[start:end].median() if end > start else spread.new_zeros(())
        least = typical if typical > 1e-6 else spread.new_ones(())
        spread[start:end] = spread[start:end].clamp_min(float(least))
    return torch.stack([z.mean(0) - HALF_CUBE * spread, z.mean(0) + HALF_CUBE * spread])


def _nearest(z: Tensor, bounds: Tensor, focus: tuple[int, ...], at_most: int) -> Tensor:
    """Which rows condition the posterior, bool `[n]`: all, or those nearest to a row of `focus` (the last if empty)."""
    keep = torch.ones(len(z), dtype=torch.bool, device=z.device)
    if len(z) <= at_most:
        return keep
    scaled = z / (bounds[1] - bounds[0])
    centres = scaled[list(focus)] if focus else scaled[-1:]
    order = torch.cdist(scaled, centres).amin(1).sort(stable=True).indices
    keep[order[at_most:]] = False
    return keep
