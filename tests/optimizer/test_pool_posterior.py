"""Samples of a pool given its anchors are samples of the joint posterior, before and after rows become anchors."""

from __future__ import annotations

import pytest
import torch
from botorch.models import ModelListGP, SingleTaskGP
from torch import Tensor

from optimizer.numerical_notices import expected_notices
from optimizer.pool_posterior import PoolPosterior, joint


def _points(n: int, seed: int) -> Tensor:
    return torch.rand(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _model(several: bool):
    z = _points(6, 0)
    y = torch.stack([z[:, 0] + 10, z[:, 1] * z[:, 2] * 100], dim=1)
    with expected_notices():
        if several:
            return SingleTaskGP(z, y).eval()
        return ModelListGP(*[SingleTaskGP(z, y[:, [j]]) for j in range(2)]).eval()


@pytest.fixture(params=[False, True], ids=["a list of processes", "one process of two outcomes"])
def model(request):
    return _model(request.param).requires_grad_(False)


def _posterior(model, anchors: Tensor, pool: Tensor, chunk: int = 2) -> PoolPosterior:
    return PoolPosterior(model, anchors, pool, num_samples=2**13, picks=2, seed=0, chunk=chunk)


def _assert_moments(samples: Tensor, mean: Tensor, covariance: Tensor) -> None:
    """Of samples `[s, n]`, in units of the posterior's own spread."""
    scale = covariance.diagonal().sqrt()
    assert torch.allclose((samples.mean(0) - mean) / scale, torch.zeros_like(mean), atol=0.02)
    assert torch.allclose(samples.T.cov() / scale / scale[:, None], covariance / scale / scale[:, None], atol=0.05)


def test_each_row_and_the_anchors_are_drawn_jointly(model):
    anchors, pool = _points(3, 1), _points(5, 2)
    posterior = _posterior(model, anchors, pool)
    means, covariances = joint(model, torch.cat([anchors, pool]))
    for outcome, (mean, covariance) in enumerate(zip(means, covariances, strict=True)):
        for row in range(len(pool)):
            drawn = torch.cat([posterior.anchored[..., outcome], posterior.samples()[:, row, outcome, None]], dim=1)
            places = [0, 1, 2, 3 + row]
            _assert_moments(drawn, mean[places], covariance[places][:, places])


def test_rows_that_become_anchors_keep_their_samples_and_bind_the_others(model):
    anchors, pool = _points(3, 1), _points(5, 2)
    posterior = _posterior(model, anchors, pool)
    before = posterior.samples()[:, 3]
    chosen = [posterior.anchor(3)]
    assert torch.equal(chosen[0], before)
    posterior.narrow(torch.tensor([0, 2, 4]))
    chosen.append(posterior.anchor(1))
    posterior.narrow(torch.tensor([0, 2]))
    means, covariances = joint(model, torch.cat([anchors, pool[[3, 2, 0, 4]]]))
    for outcome, (mean, covariance) in enumerate(zip(means, covariances, strict=True)):
        for place, row in ((5, 0), (6, 1)):
            columns = [*posterior.anchored[..., outcome].T, *(each[:, outcome] for each in chosen)]
            drawn = torch.stack([*columns, posterior.samples()[:, row, outcome]], dim=1)
            places = [0, 1, 2, 3, 4, place]
            _assert_moments(drawn, mean[places], covariance[places][:, places])


def test_no_anchors_and_a_row_that_is_one_already(model):
    pool = _points(3, 2)
    alone = _posterior(model, pool[:0], pool)
    means, covariances = joint(model, pool)
    _assert_moments(alone.samples()[:, 1, :1], means[0, [1]], covariances[0][1:2, 1:2])
    bound = _posterior(model, pool[:1], pool)
    spread = covariances[:, 0, 0].sqrt()
    assert ((bound.samples()[:, 0] - bound.anchored[:, 0]).abs() / spread).max() < 1e-3
    assert torch.isfinite(bound.anchor(0)).all()
    assert torch.isfinite(bound.samples()).all()


def test_chunks_do_not_change_the_samples(model):
    anchors, pool = _points(3, 1), _points(5, 2)
    whole, parts = (_posterior(model, anchors, pool, chunk).samples() for chunk in (5, 2))
    assert torch.allclose(whole, parts, rtol=1e-6, atol=1e-8)
