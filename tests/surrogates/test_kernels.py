"""Kernels stay valid covariances, and the choice among them follows what the data say."""

import pytest
import torch

from surrogates.kernel_choice import CHOSEN_AMONG
from surrogates.kernels import KERNELS, covariance, length_scales
from surrogates.models import exact_gp
from surrogates.protocols import Block, FitHints, SurrogateContext

BLOCKS = (Block("latent", 3), Block("composition", 2), Block("predicted", 1, trend=True))


def _inputs(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _fit(x, y, before=None, **params):
    surrogate = exact_gp.build(exact_gp.Params(**params), SurrogateContext(torch.device("cpu"), ("y",)))
    hints = FitHints(blocks=BLOCKS, before=before or {})
    return surrogate.fit(x, y[:, None], observed=torch.ones(len(x), 1, dtype=torch.bool), hints=hints)


@pytest.mark.parametrize("name", KERNELS)
def test_is_a_covariance(name):
    kernel, x = covariance(name, BLOCKS).double(), _inputs(30) / 4 + 0.5
    with torch.no_grad():
        full, diagonal = kernel(x).to_dense(), kernel(x, diag=True)
        apart = kernel(x[:5], x[5:]).to_dense()
    assert torch.allclose(full, full.T)
    assert torch.linalg.eigvalsh(full).min() > -1e-8
    assert torch.allclose(full.diagonal(), diagonal)
    assert torch.allclose(full[:5, 5:], apart)
    assert length_scales(kernel)


def test_a_predicted_column_is_trusted_beyond_the_data():
    x = _inputs(40)
    far = _inputs(5, seed=1)
    far[:, 5] = 8.0
    fitted = _fit(x, 3 * x[:, 5], kernel="additive")
    assert fitted.model.posterior(far).mean[:, 0].tolist() == pytest.approx([24.0] * 5, rel=0.15)


def test_the_best_at_predicting_rows_left_out_is_chosen_and_all_scores_are_told():
    x = _inputs(60)
    entry = _fit(x, torch.sin(3 * x[:, 0])).report.outcomes["y"]
    assert set(entry["kernel_scores"]) == set(CHOSEN_AMONG)
    assert entry["kernel"] == max(entry["kernel_scores"], key=entry["kernel_scores"].get)


def test_hyperparameters_serve_until_the_rows_have_grown_by_a_quarter():
    x = _inputs(60)
    y = torch.sin(x[:, 0]) + x[:, 4]
    first = _fit(x[:40], y[:40], kernel="matern52").report.outcomes
    kept = _fit(x[:48], y[:48], before=first, kernel="matern52").report.outcomes["y"]
    assert kept["hyperparameters"] == first["y"]["hyperparameters"]
    assert (kept["fitted_rows"], kept["observed"]) == (40, 48)
    anew = _fit(x[:50], y[:50], before=first, kernel="matern52").report.outcomes["y"]
    assert anew["fitted_rows"] == 50
    assert _fit(x[:48], y[:48], before=first, kernel="rbf").report.outcomes["y"]["kernel"] == "rbf"


def test_many_rows_condition_what_few_were_fitted_to():
    x = _inputs(200)
    y = torch.sin(2 * x[:, 0])
    few = _fit(x, y, kernel="rbf", fit_rows=50)
    assert few.report.outcomes["y"]["observed"] == 200
    assert (few.model.posterior(x).mean[:, 0] - y).abs().mean() < 0.1


def test_rows_beyond_the_limit_are_those_far_from_the_best():
    x = torch.linspace(-3, 3, 60, dtype=torch.float64)[:, None].repeat(1, 6)
    surrogate = exact_gp.build(exact_gp.Params(max_rows=20), SurrogateContext(torch.device("cpu"), ("y",)))
    fitted = surrogate.fit(x, x[:, :1], observed=torch.ones(60, 1, dtype=torch.bool), hints=FitHints(focus=(59,)))
    assert fitted.report.outcomes["y"]["observed"] == 20
    assert (fitted.model.posterior(x[-5:]).mean[:, 0] - x[-5:, 0]).abs().max() < 0.05
