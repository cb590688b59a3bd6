"""What `exact_gp` promises: accurate where there is data, simpler and said so where there is not, never a
crash.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from botorch.exceptions import ModelFittingError
from pydantic import ValidationError
from torch import Tensor

from surrogates import gp_models
from surrogates.models import exact_gp
from surrogates.models.exact_gp import Params, build
from surrogates.protocols import Block, FitHints, FitReport, SurrogateContext

OUTCOMES = ("bulk_modulus_gpa", "success")


def _latents(n: int, d: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _modulus(z: Tensor) -> Tensor:
    return 150 + 40 * torch.sin(z[:, 0]) + 10 * z[:, 1]


def _surrogate(**params: object) -> exact_gp.ExactGP:
    return build(Params.model_validate(params), SurrogateContext(torch.device("cpu"), OUTCOMES))


def _fit(z: Tensor, first: Tensor, observed: Tensor | None = None, **params: object) -> exact_gp.FittedExactGP:
    y = torch.stack([first, torch.ones(len(z), dtype=torch.float64)], dim=1)
    seen = torch.ones(len(z), 2, dtype=torch.bool)
    if observed is not None:
        seen[:, 0] = observed
    return _surrogate(**params).fit(z, y, observed=seen)


def _entry(report: FitReport) -> dict:
    return dict(report.outcomes["bulk_modulus_gpa"])


@pytest.mark.parametrize("kernel", ["rbf", "matern52"])
def test_predicts_in_the_outcomes_own_unit(kernel):
    z, new = _latents(60), _latents(50, seed=1)
    fitted = _fit(z, _modulus(z), kernel=kernel)
    posterior = fitted.model.posterior(new)
    error = (posterior.mean[:, 0] - _modulus(new)).abs()
    assert float(error.mean()) < 5.0  # GPa, where the values spread over 100
    entry = _entry(fitted.report)
    assert (entry["kernel"], entry["fallback"], entry["observed"]) == (kernel, None, 60)
    assert entry["loo_log_score"] > -1.42  # the score of knowing only mean and standard deviation
    assert 0.0 < entry["noise_sd"] < 10.0


def test_far_from_what_was_seen_a_guess_counts_and_a_constant_error_of_it_is_learnt():
    z, hidden, noise = 0.2 * _latents(24), _latents(24, 1, seed=2)[:, 0], _latents(24, 1, seed=3)[:, 0]
    modulus = _modulus(z) + 30 * hidden  # which latents do not tell
    rows = torch.cat([z, (modulus + 30 + 3 * noise)[:, None]], dim=1)
    far = torch.tensor([[6.0, 6.0, 6.0, 6.0, 330.0]], dtype=torch.float64)
    hints = FitHints(blocks=(Block("z", 4), Block("guess", 1)), predicted={"bulk_modulus_gpa": 4})
    y, seen = torch.stack([modulus, torch.ones_like(modulus)], dim=1), torch.ones(24, 2, dtype=torch.bool)
    fitted = _surrogate().fit(rows, y, observed=seen, hints=hints)
    assert float(modulus.max()) < 250
    assert float(fitted.model.posterior(far).mean[0, 0]) == pytest.approx(300, abs=25)  # GPa
    again = _surrogate().fit(rows, y, observed=seen, hints=replace(hints, before=fitted.report.outcomes))
    assert torch.allclose(again.model.posterior(rows).mean, fitted.model.posterior(rows).mean)


def test_only_observed_rows_are_read():
    z = _latents(40)
    y = torch.stack([_modulus(z), (z[:, 0] > -1).double()], dim=1)
    observed = torch.ones(40, 2, dtype=torch.bool)
    observed[30:, 0] = False
    spoiled = y.clone()
    spoiled[30:, 0] = torch.nan
    new = _latents(5, seed=2)
    clean = _surrogate().fit(z, y, observed=observed).model.posterior(new)
    dirty = _surrogate().fit(z, spoiled, observed=observed).model.posterior(new)
    assert torch.equal(clean.mean, dirty.mean)
    assert torch.equal(clean.variance, dirty.variance)


def test_all_outcomes_share_normalisation_bounds():
    z = _latents(20)
    observed = torch.arange(20) < 5
    models = _fit(z, _modulus(z), observed).model.models
    assert torch.equal(models[0].input_transform.bounds, models[1].input_transform.bounds)


def test_a_direction_without_spread_does_not_hide_the_others():
    z = _latents(60)
    z[:, 3] *= 1e-9
    new = _latents(40, seed=3)
    predicted = _fit(z, _modulus(z)).model.posterior(new).mean[:, 0]
    assert float(torch.corrcoef(torch.stack([predicted, _modulus(new)]))[0, 1]) > 0.8


def test_without_observations_the_prior_stands():
    z = _latents(6)
    fitted = _fit(z, torch.zeros(6).double(), torch.zeros(6, dtype=torch.bool))
    posterior = fitted.model.posterior(_latents(3, seed=1))
    assert posterior.mean[:, 0].tolist() == pytest.approx([0.0] * 3, abs=1e-9)
    assert posterior.variance[:, 0].tolist() == pytest.approx([1.0] * 3, rel=1e-4)
    entry = _entry(fitted.report)
    assert (entry["fallback"], entry["why"], entry["loo_log_score"]) == ("prior", "no observation", None)


def test_no_rows_at_all():
    fitted = _fit(torch.empty(0, 4, dtype=torch.float64), torch.empty(0, dtype=torch.float64))
    assert fitted.model.posterior(_latents(3)).mean.shape == (3, 2)


def test_one_observation_is_remembered_and_far_points_stay_open():
    z = torch.zeros(1, 4, dtype=torch.float64)
    fitted = _fit(z, torch.tensor([200.0], dtype=torch.float64))
    assert _entry(fitted.report)["why"] == "one observation"
    near, far = fitted.model.posterior(torch.stack([z[0], z[0] + 10])).variance[:, 0].sqrt().tolist()
    assert near < 20
    assert far > 100


def test_equal_outcomes_grow_more_certain_with_their_number():
    spread = []
    for n in (3, 60):
        z = _latents(n)
        fitted = _fit(z, torch.full((n,), 100.0, dtype=torch.float64))
        assert _entry(fitted.report)["fallback"] == "fixed"
        assert _entry(fitted.report)["why"] == "constant outcome"
        posterior = fitted.model.posterior(torch.full((1, 4), 20.0, dtype=torch.float64))
        assert float(posterior.mean[0, 0]) == pytest.approx(100.0)
        spread.append(float(posterior.variance[0, 0]))
    assert spread[1] < spread[0] / 5


def test_what_few_rows_alone_show_is_fitted_too():
    """One of 120 failed, and it is not among the 100 that hyperparameters are fitted to."""
    z = _latents(120)
    success = torch.ones(120, dtype=torch.float64)
    kept = set(torch.linspace(0, 119, 100).round().long().tolist())
    failed = max((i for i in range(120) if i not in kept), key=lambda i: float(z[i, 0]))
    success[failed] = 0.0
    fitted = _fit(z, success, fit_rows=100)
    assert _entry(fitted.report)["fallback"] is None
    at_failure, elsewhere = fitted.model.posterior(torch.stack([z[failed], z[0]])).mean[:, 0].tolist()
    assert at_failure < 0.5 < elsewhere


@pytest.mark.parametrize("n", [0, 1, 8])
def test_where_outcomes_tell_no_scale_a_guess_does(n):
    """Of n crystals with the same outcome; guesses of all twelve lie between 0 and 1.4 eV."""
    guess = torch.linspace(0.0, 1.4, 12, dtype=torch.float64)
    z = torch.cat([_latents(12), guess[:, None]], dim=1)
    observed = torch.ones(12, 2, dtype=torch.bool)
    observed[n:, 0] = False
    hints = FitHints(blocks=(Block("z", 4), Block("guess", 1)), predicted={"bulk_modulus_gpa": 4})
    fitted = _surrogate().fit(z, torch.zeros(12, 2, dtype=torch.float64), observed=observed, hints=hints)
    far = torch.full((2, 5), 9.0, dtype=torch.float64)
    far[:, 4] = torch.tensor([0.1, 1.3])
    posterior = fitted.model.posterior(far)
    low, high = posterior.mean[:, 0].tolist()
    assert high - low == pytest.approx(1.2, rel=0.01)
    assert low == pytest.approx(0.1 - float(guess[:n].sum()) / (n + 1), abs=0.02)
    assert posterior.variance[:, 0].sqrt().tolist() == pytest.approx([0.46] * 2, rel=0.2)  # the guesses' own spread


def test_duplicated_rows_are_counted_and_averaged():
    z = _latents(15).repeat(2, 1)
    y = _modulus(z)
    y[15:] += 10
    fitted = _fit(z, y)
    assert _entry(fitted.report)["duplicated_rows"] == 15
    posterior = fitted.model.posterior(z[:1])
    assert torch.isfinite(posterior.mean).all()


def test_an_outlier_of_any_size_is_survived():
    z = _latents(20)
    y = _modulus(z)
    y[3] = 1e9
    posterior = _fit(z, y).model.posterior(z)
    assert torch.isfinite(posterior.mean).all()
    assert (posterior.variance > 0).all()


def test_known_noise_widens_the_posterior():
    z = _latents(30)
    y = torch.stack([_modulus(z), torch.ones(30).double()], dim=1)
    observed = torch.ones(30, 2, dtype=torch.bool)
    quiet, loud = (
        _surrogate().fit(z, y, observed=observed, noise=torch.full((30, 2), variance, dtype=torch.float64))
        for variance in (0.01, 400.0)
    )
    at = z[:5]
    assert (loud.model.posterior(at).variance[:, 0] > quiet.model.posterior(at).variance[:, 0]).all()
    assert loud.report.outcomes["bulk_modulus_gpa"]["noise_sd"] == pytest.approx(20.0)


def test_noise_stated_for_some_rows_leaves_the_others_at_what_is_inferred():
    z = _latents(30)
    y = torch.stack([_modulus(z), torch.ones(30).double()], dim=1)
    y[0, 0] += 100.0  # a wild value, which says itself that it is worth little
    observed = torch.ones(30, 2, dtype=torch.bool)
    noise = torch.full((30, 2), torch.nan, dtype=torch.float64)
    noise[0, 0] = 100.0**2
    warned, trusting = (_surrogate().fit(z, y, observed=observed, noise=each) for each in (noise, noise * torch.nan))
    misfit = [float((each.model.posterior(z[:1]).mean[0, 0] - _modulus(z[:1])[0]).abs()) for each in (warned, trusting)]
    assert misfit[0] < misfit[1]
    plain = _surrogate().fit(z, y, observed=observed)
    assert torch.equal(trusting.model.posterior(z).mean, plain.model.posterior(z).mean)


@pytest.mark.parametrize(("failures", "expected"), [(1, "noise_floor"), (2, "matern52"), (3, "fixed")])
def test_each_failed_fit_falls_back_one_step_and_says_why(monkeypatch, failures, expected):
    original, calls = gp_models.fit_gpytorch_mll, []

    def failing(*args, **kwargs):
        calls.append(1)
        if len(calls) <= failures:
            raise ModelFittingError("All attempts to fit the model have failed.")
        return original(*args, **kwargs)

    monkeypatch.setattr(gp_models, "fit_gpytorch_mll", failing)
    z = _latents(20)
    fitted = _fit(z, _modulus(z), kernel="additive")
    entry = _entry(fitted.report)
    assert entry["fallback"] == expected
    assert entry["why"].count("ModelFittingError") == failures
    assert torch.isfinite(fitted.model.posterior(_latents(3, seed=1)).mean).all()


def test_the_report_is_json_and_names_every_outcome():
    z = _latents(12)
    report = _fit(z, _modulus(z)).report
    assert set(json.loads(json.dumps(dict(report.outcomes)))) == set(OUTCOMES)
    assert {"kernel", "fallback", "why", "loo_coverage_50", "loo_coverage_90", "lengthscale"} <= set(_entry(report))


def test_a_fit_leaves_the_global_random_state_alone():
    z = _latents(12)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    _fit(z, _modulus(z))
    assert torch.equal(before, torch.get_rng_state())


def test_bad_input_is_refused_in_words():
    z, ones = _latents(5), torch.ones(5, 2, dtype=torch.bool)
    y = torch.ones(5, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"y must be \[n, m\]"):
        _surrogate().fit(z, y[:, :1], observed=ones)
    with pytest.raises(ValueError, match="observed must be bool"):
        _surrogate().fit(z, y, observed=ones.double())
    with pytest.raises(ValueError, match="must be finite"):
        _surrogate().fit(z, y * torch.nan, observed=ones)
    with pytest.raises(ValidationError):
        Params(kernel="cubic")
