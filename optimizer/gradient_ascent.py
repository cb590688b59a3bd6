"""Latents of a batch moved together along the gradient of what they are worth.

As one optimises an acquisition function over a box (J. T. Wilson, F. Hutter & M. P. Deisenroth, "Maximizing acquisition
functions for Bayesian optimization", NeurIPS 2018), with few steps from where a choice among decoded crystals has led:
what a latent decodes to must be decoded and judged again, so the way matters and not the last digits of its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from linear_operator.utils.errors import NotPSDError
from torch import Tensor

STEP = 0.2  # of each coordinate, in standard deviations of the prior
STEPS = 8


def gradient_ascent(gain: Callable[[Tensor], Tensor], rows: Tensor, d: int, n: int) -> Tensor:
    """n latents `[n, d]` on the way of the q first d columns of `rows [q, w]`, evenly over the steps, the end included.

    The other columns say what the latents decoded to at first, and stay. `gain` gives a number for each row; Adam's
    steps do not depend on its scale (D. P. Kingma & J. Ba, ICLR 2015). Fewer than n where n asks for more places than
    there are steps.
    """
    z = rows[:, :d].clone().requires_grad_(True)
    optimizer = torch.optim.Adam([z], lr=STEP)
    way = []
    for _ in range(STEPS):
        gradient = _gradient(gain, z, rows[:, d:])
        if gradient is None:
            break
        z.grad = -gradient
        optimizer.step()
        way.append(z.detach().clone())
    places = min(len(way), math.ceil(n / len(rows)))
    kept = [way[(i + 1) * len(way) // places - 1] for i in range(places)]
    return torch.cat(kept)[-n:] if kept else rows[:0, :d]


def _gradient(gain: Callable[[Tensor], Tensor], z: Tensor, fixed: Tensor) -> Tensor | None:
    """`[q, d]`, 0 where it is not finite; None where rows have come so close that their covariance has no root."""
    try:
        with torch.enable_grad():
            worth = gain(torch.cat([z, fixed], dim=1)).sum()
    except NotPSDError:
        return None
    (gradient,) = torch.autograd.grad(worth, z)
    return gradient.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
