"""What a point adds to a front of two goals, beside BoTorch's boxes."""

from __future__ import annotations

import pytest
import torch
from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning

from optimizer.staircase import Staircase

REFERENCE = torch.tensor([0.1, -0.2], dtype=torch.float64)


@pytest.mark.parametrize("n", [0, 1, 2, 30])
@pytest.mark.parametrize("rounded", [False, True], ids=["all different", "many equal"])
def test_agrees_with_the_boxes_of_botorch(n, rounded):
    draws = torch.Generator().manual_seed(n)
    values = torch.randn(16, n, 2, generator=draws, dtype=torch.float64)
    points = 1.5 * torch.randn(16, 200, 2, generator=draws, dtype=torch.float64)
    if rounded:
        values, points = (values * 4).round() / 4, (points * 4).round() / 4
    stairs = Staircase(values, REFERENCE)
    lower, upper = FastNondominatedPartitioning(REFERENCE, values).get_hypercell_bounds()[:, :, None]
    above = points[:, :, None] - lower
    inside = above.clamp_min(0).minimum(upper - lower).prod(-1).sum(-1)
    assert torch.allclose(stairs.gain(points), inside, atol=1e-12)
    assert torch.allclose(stairs.behind(points), above.amin(-1).amax(-1), atol=1e-12)
