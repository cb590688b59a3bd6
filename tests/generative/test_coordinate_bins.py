from __future__ import annotations

import pytest
import torch

from generative.coordinate_bins import KAPPA, N_BINS, coordinate_loss, coordinate_mode


def _von_mises(x: float) -> torch.Tensor:
    centres = torch.arange(N_BINS) / N_BINS
    return KAPPA * torch.cos(2 * torch.pi * (x - centres)).expand(1, 3, N_BINS)


@pytest.mark.parametrize("x", [0.0, 0.013, 0.5, 0.999])
def test_coordinate_loss_is_zero_at_the_target_and_periodic(x):
    target = torch.full((1, 3), x)
    right = coordinate_loss(_von_mises(x), target)
    assert right.abs().max() < 1e-4
    assert torch.allclose(coordinate_loss(_von_mises(x), target + 1), right, atol=1e-4)
    for wrong in (0.02, 0.1, -0.3):
        assert (coordinate_loss(_von_mises(x + wrong), target) > right + 0.1).all()


@pytest.mark.parametrize("x", [0.0, 0.004, 0.25, 0.613, 0.996])
def test_coordinate_mode_finds_the_target_across_the_period(x):
    found = coordinate_mode(_von_mises(x))
    assert ((found >= 0) & (found < 1)).all()
    gap = found - x
    assert (gap - gap.round()).abs().max() < 5e-3
