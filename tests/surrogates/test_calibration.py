"""Closed-form leave-one-out against leaving each row out for real."""

from __future__ import annotations

import math

import pytest
import torch

from surrogates.calibration import LeaveOneOut, leave_one_out


def _covariance(n: int) -> torch.Tensor:
    x = torch.linspace(0, 3, n, dtype=torch.float64)
    return torch.exp(-0.5 * (x[:, None] - x) ** 2) + 0.1 * torch.eye(n, dtype=torch.float64)


def test_matches_refitting_without_each_row():
    covariance = _covariance(6)
    y = torch.tensor([0.3, -1.0, 0.5, 2.0, -0.2, 0.9], dtype=torch.float64)
    result = leave_one_out(covariance, y)
    for i in range(6):
        rest = [j for j in range(6) if j != i]
        weights = torch.linalg.solve(covariance[rest][:, rest], covariance[rest, i])
        assert float(result.residual[i]) == pytest.approx(float(y[i] - weights @ y[rest]))
        assert float(result.variance[i]) == pytest.approx(float(covariance[i, i] - weights @ covariance[rest, i]))


def test_log_score_and_coverage_of_known_residuals():
    scores = LeaveOneOut(torch.tensor([0.0, 0.6, 1.0, 3.0]).double(), torch.ones(4).double())
    expected = -0.5 * (math.log(2 * math.pi) + (0.36 + 1.0 + 9.0) / 4)
    assert scores.log_score == pytest.approx(expected)
    assert scores.coverage(0.5) == 0.5  # half width 0.674
    assert scores.coverage(0.9) == 0.75  # half width 1.645


def test_calibrated_data_are_covered_at_their_level():
    covariance = _covariance(400)
    noise = torch.randn(400, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    result = leave_one_out(covariance, torch.linalg.cholesky(covariance) @ noise)
    assert result.coverage(0.5) == pytest.approx(0.5, abs=0.08)
    assert result.coverage(0.9) == pytest.approx(0.9, abs=0.05)


def test_a_singular_covariance_is_refused():
    with pytest.raises(torch.linalg.LinAlgError):
        leave_one_out(torch.zeros(3, 3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
