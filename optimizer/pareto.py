"""Pareto layers, hypervolume and the reference point for one or two goals, all maximised. Plain Python, no
torch.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

Point = tuple[float, ...]
SMALLEST_RANGE = 1e-7  # as in BoTorch: a front that is flat in one goal still gets a reference below it


def dominates(left: Point, right: Point) -> bool:
    """`left` is nowhere worse than `right` and somewhere better."""
    return left != right and all(a >= b for a, b in zip(left, right, strict=True))


def nondominated_layers(points: Sequence[Point]) -> list[list[int]]:
    """Indices by layer, ascending in each: the Pareto front, the front of the rest, and so on. Equal points share one.

    One or two goals, n log n: met from the first goal's best downwards, a point belongs to the first layer that holds
    nothing as good in the second goal (Jensen, IEEE Trans. Evol. Comput. 7, 503 (2003)). Raises ValueError for more
    goals.
    """
    if any(len(point) not in (1, 2) for point in points):
        raise ValueError("layers are defined here for one or two goals")
    layers: dict[Point, int] = {}
    lowest: list[float] = []  # minus the best second goal of each layer so far, ascending
    for point in sorted(set(points), reverse=True):
        second = -point[1] if len(point) == 2 else 0.0
        layer = bisect_right(lowest, second)
        lowest[layer : layer + 1] = [second]
        layers[point] = layer
    found: list[list[int]] = [[] for _ in lowest]
    for index, point in enumerate(points):
        found[layers[point]].append(index)
    return found


def reference_point(points: Sequence[Point]) -> Point:
    """Nadir of the Pareto front minus a tenth of its range, per goal (Ishibuchi et al., 2011).

    The rule of botorch.utils.multi_objective.hypervolume.infer_reference_point: a front of one point lies a
    tenth of its own size above the reference. It depends on the set of points, not on their order. Raises
    ValueError without points.
    """
    if not points:
        raise ValueError("a reference point needs at least one point")
    front = {points[i] for i in nondominated_layers(points)[0]}
    found = []
    for column in zip(*front, strict=True):
        low, high = min(column), max(column)
        spread = abs(low) if len(front) == 1 else high - low
        found.append(low - 0.1 * max(spread, SMALLEST_RANGE))
    return tuple(found)


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Length or area under `points` above `reference`, one or two goals; 0 where no point exceeds it."""
    if len(reference) == 1:
        return max([0.0, *(point[0] - reference[0] for point in points)])
    if len(reference) != 2:
        raise ValueError(f"hypervolume is defined here for one or two goals, not {len(reference)}")
    area, height = 0.0, reference[1]
    for x, y in sorted(points, reverse=True):
        if x > reference[0] and y > height:
            area += (x - reference[0]) * (y - height)
            height = y
    return area
