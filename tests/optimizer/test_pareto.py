"""Layers, reference point and hypervolume against hand counts and against BoTorch."""

from __future__ import annotations

import random

import pytest
import torch
from botorch.utils.multi_objective.hypervolume import Hypervolume, infer_reference_point
from botorch.utils.multi_objective.pareto import is_non_dominated

from optimizer.pareto import dominates, hypervolume, nondominated_layers, reference_point


def _points(n: int, seed: int = 0) -> list[tuple[float, ...]]:
    source = random.Random(seed)
    return [(source.gauss(100, 30), source.gauss(-5, 2)) for _ in range(n)]


def test_layers_of_a_small_set():
    points = [(1.0, 1.0), (2.0, 0.0), (0.0, 0.0), (1.0, 1.0), (1.0, 0.0)]
    assert nondominated_layers(points) == [[0, 1, 3], [4], [2]]
    assert nondominated_layers([]) == []
    assert nondominated_layers([(1.0,), (3.0,), (3.0,)]) == [[1, 2], [0]]


@pytest.mark.parametrize("goals", [1, 2])
def test_layers_are_those_of_the_definition(goals):
    source = random.Random(goals)
    for n in (1, 5, 60):
        points = [tuple(float(source.randrange(8)) for _ in range(goals)) for _ in range(n)]
        left, expected = list(range(n)), []
        while left:
            expected.append([i for i in left if not any(dominates(points[j], points[i]) for j in left)])
            left = [i for i in left if i not in expected[-1]]
        assert nondominated_layers(points) == expected


def test_equal_points_do_not_dominate_each_other():
    assert not dominates((1.0, 1.0), (1.0, 1.0))
    assert dominates((1.0, 2.0), (1.0, 1.0))


@pytest.mark.parametrize("n", [1, 2, 40])
def test_reference_and_hypervolume_agree_with_botorch(n):
    points = _points(n)
    tensor = torch.tensor(points, dtype=torch.float64)
    front = tensor[is_non_dominated(tensor)]
    expected = infer_reference_point(front)
    reference = reference_point(points)
    assert reference == pytest.approx(tuple(expected.tolist()))
    assert hypervolume(points, reference) == pytest.approx(Hypervolume(expected).compute(front))


def test_reference_does_not_depend_on_order_or_repetition():
    points = _points(20)
    shuffled = random.Random(1).sample(points, len(points))
    assert reference_point(points) == reference_point(shuffled) == reference_point(points + shuffled)


def test_points_below_the_reference_count_nothing():
    assert hypervolume([(0.0, 5.0), (-1.0, -1.0)], (0.0, 0.0)) == 0.0
    assert hypervolume([(3.0,), (2.0,)], (1.0,)) == 2.0


def test_what_is_not_defined_is_refused():
    with pytest.raises(ValueError, match="at least one point"):
        reference_point([])
    with pytest.raises(ValueError, match="one or two goals"):
        nondominated_layers([(1.0, 1.0, 1.0)])
    with pytest.raises(ValueError, match="one or two goals"):
        hypervolume([(1.0, 1.0, 1.0)], (0.0, 0.0, 0.0))


@pytest.mark.parametrize("goals", [1, 2])
def test_layers_are_those_of_peeling_fronts_off_one_by_one(goals):
    rng = random.Random(goals)
    points = [tuple(rng.randint(0, 9) / 2 for _ in range(goals)) for _ in range(120)]
    left, peeled = list(range(len(points))), []
    while left:
        layer = [i for i in left if not any(dominates(points[j], points[i]) for j in left)]
        peeled.append(layer)
        left = [i for i in left if i not in layer]
    assert nondominated_layers(points) == peeled
    assert nondominated_layers([]) == []
