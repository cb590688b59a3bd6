"""The area above a front of two goals that a further point would add, for thousands of points in many samples at once.

Between two neighbours of the front a strip of the plane is open above the front's height there: a stair. What a point
adds is a sum over the stairs that it reaches into, which lie side by side, so that two binary searches and running sums
give it. BoTorch's FastNondominatedPartitioning names the same stairs as boxes, for any number of goals, and its
acquisition functions visit every box for every point.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Staircase:
    """Fronts of `values [s, n, 2]`, one for each sample, above `reference [2]`; both goals are maximised."""

    def __init__(self, values: Tensor, reference: Tensor) -> None:
        samples = len(values)
        order = values[..., 0].argsort(dim=1)
        first, second = values.clamp_min(reference).gather(1, order[..., None].expand_as(values)).unbind(-1)
        heights = second.flip(1).cummax(1).values.flip(1) if second.shape[1] else second
        low, base = (corner.expand(samples, 1) for corner in reference)
        self._edges = first.contiguous()  # [s, n], ascending
        self._left = torch.cat([low, first], dim=1)  # [s, n + 1]: where a stair begins in the first goal
        self._heights = torch.cat([heights, base], dim=1)  # [s, n + 1], falling
        self._rising = (-self._heights).contiguous()
        self._slopes = self._left - self._heights  # ascending
        widths = self._left.diff(dim=1)
        nothing = torch.zeros_like(low)
        self._width = torch.cat([nothing, widths.cumsum(1)], dim=1)  # [s, n + 1]: of the stairs before
        self._area = torch.cat([nothing, (widths * self._heights[:, :-1]).cumsum(1)], dim=1)

    def gain(self, y: Tensor) -> Tensor:
        """Area that each point of `y [s, k, 2]` adds to its sample's front, `[s, k]`."""
        first, second = (goal.contiguous() for goal in y.unbind(-1))
        last = torch.searchsorted(self._edges, first)  # the stair that the point stands on
        begin = torch.searchsorted(self._rising, -second, right=True)  # the first stair that is lower than the point
        begin = torch.minimum(begin, last)
        whole = second * _between(self._width, begin, last) - _between(self._area, begin, last)
        own = (first - self._left.gather(1, last)).clamp_min(0) * (second - self._heights.gather(1, last)).clamp_min(0)
        return whole.clamp_min(0) + own

    def behind(self, y: Tensor) -> Tensor:
        """How far each point of `y [s, k, 2]` lies beyond the front in its worse goal, `[s, k]`; negative: below it."""
        first, second = (goal.contiguous() for goal in y.unbind(-1))
        right = torch.searchsorted(self._slopes, first - second)  # from here on stairs are missed in the first goal
        most = self._slopes.shape[1] - 1
        missed = first - self._left.gather(1, right.clamp_max(most))
        missed = torch.where(right <= most, missed, -torch.inf)
        fallen = second - self._heights.gather(1, (right - 1).clamp_min(0))
        return torch.maximum(missed, torch.where(right >= 1, fallen, -torch.inf))


def _between(sums: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    """From running sums `[s, n + 1]`, those of the entries from `begin` up to `end`, `[s, k]` each."""
    return sums.gather(1, end) - sums.gather(1, begin)
