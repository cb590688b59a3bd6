"""What every surrogate kind must do. A new kind inherits these tests by existing."""

from __future__ import annotations

import json

import pytest
import torch
from botorch.models.model import Model
from torch import Tensor

from campaigns.kinds import build_kind
from campaigns.spec import KindSpec
from surrogates.protocols import FittedSurrogate, Surrogate, SurrogateContext

ROLE = "surrogate"
OUTCOMES = ("bulk_modulus_gpa", "energy_above_hull_ev_atom", "success")
D = 5


def _build(kind: str, device: str = "cpu", outcomes: tuple[str, ...] = OUTCOMES) -> Surrogate:
    return build_kind(ROLE, KindSpec(kind=kind), SurrogateContext(torch.device(device), outcomes), ROLE)


def _data(n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    z = torch.randn(n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    y = torch.stack([120 + 30 * z[:, 0], 0.1 * z[:, 1].square(), (z[:, 2] > -1).double()], dim=1)
    observed = torch.ones(n, 3, dtype=torch.bool)
    observed[:, :2] = y[:, 2:] > 0.5
    return z, y, observed


def _at(fitted: FittedSurrogate, z: Tensor, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Posterior mean and variance on the CPU."""
    posterior = fitted.model.posterior(z.to(device))
    return posterior.mean.detach().cpu(), posterior.variance.detach().cpu()


def _check(fitted: FittedSurrogate, m: int = 3, device: str = "cpu") -> None:
    """A posterior over m outcomes at new points, joint and batched, finite, float64; a JSON-able report."""
    assert isinstance(fitted.model, Model)
    new = _data(4, seed=1)[0].to(device)
    for at in (new, new.unsqueeze(-2)):
        posterior = fitted.model.posterior(at)
        assert posterior.mean.shape == (*at.shape[:-1], m)
        assert posterior.mean.dtype == torch.float64
        assert posterior.mean.device.type == device
        assert torch.isfinite(posterior.mean).all()
        assert torch.isfinite(posterior.variance).all()
        assert (posterior.variance > 0).all()
    sample = fitted.model.posterior(new).rsample(torch.Size([3]))
    assert sample.shape == (3, 4, m)
    assert torch.isfinite(sample).all()
    assert set(json.loads(json.dumps(dict(fitted.report.outcomes)))) == set(OUTCOMES[-m:])
    assert fitted.report.seconds >= 0


@pytest.mark.parametrize(
    ("scale", "shift"), [(1.0, 0.0), (1e-3, 0.0), (1e3, -7e4)], ids=["gpa", "tpa", "mpa from elsewhere"]
)
def test_learns_and_answers_in_the_outcomes_units(kind, device, scale, shift):
    z, y, observed = _data(40)
    y[:, 0] = scale * y[:, 0] + shift
    fitted = _build(kind, device).fit(z.to(device), y.to(device), observed=observed.to(device))
    _check(fitted, device=device)
    new, expected, _ = _data(30, seed=2)
    mean, variance = _at(fitted, new, device)
    error = (mean[:, 0] - scale * expected[:, 0] - shift).abs()
    assert float(error.mean()) < 20 * scale  # the constant guess is off by 24 GPa on average
    assert float(variance[:, 0].sqrt().mean()) < 60 * scale


def test_order_of_the_points_asked_is_kept(kind, device):
    z, y, observed = _data(15)
    fitted = _build(kind, device).fit(z.to(device), y.to(device), observed=observed.to(device))
    new = _data(6, seed=1)[0]
    for forward, backward in zip(_at(fitted, new, device), _at(fitted, new.flip(0), device), strict=True):
        assert torch.allclose(forward, backward.flip(0), rtol=1e-8, atol=1e-10)


def test_same_rows_give_the_same_posterior(kind, device, disturb):
    """Nothing is kept of a fit but the rows, which the ledger holds as text."""
    z, y, observed = _data(15)
    new, results = _data(4, seed=1)[0], []
    for number in (1, 2):
        disturb(number)
        fitted = _build(kind, device).fit(z.to(device), y.to(device), observed=observed.to(device))
        results.append(_at(fitted, new, device))
        z, y = (torch.tensor(json.loads(json.dumps(each.tolist())), dtype=torch.float64) for each in (z, y))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_any_number_of_rows(kind, device, n):
    z, y, observed = _data(n)
    _check(_build(kind, device).fit(z.to(device), y.to(device), observed=observed.to(device)), device=device)


def test_is_surer_where_it_has_seen(kind, device):
    z, y, observed = _data(20)
    fitted = _build(kind, device).fit(z.to(device), y.to(device), observed=observed.to(device))
    here, far = _at(fitted, z[observed[:, 0]], device)[1], _at(fitted, 20 + z, device)[1]
    assert float(here[:, 0].mean()) < 0.5 * float(far[:, 0].mean())


def test_what_was_not_observed_is_never_read(kind, device):
    z, y, observed = _data(15)
    assert not observed.all()
    new, results = _data(4, seed=1)[0], []
    for filling in (0.0, torch.nan, 1e9, -1e9):
        filled = torch.where(observed, y, torch.full_like(y, filling))
        fitted = _build(kind, device).fit(z.to(device), filled.to(device), observed=observed.to(device))
        results.append(_at(fitted, new, device))
    for mean, variance in results[1:]:
        assert torch.equal(mean, results[0][0])
        assert torch.equal(variance, results[0][1])


def test_every_candidate_failed(kind):
    z, y, observed = _data(10)
    y[:, 2], observed[:, :2] = 0.0, False
    fitted = _build(kind).fit(z, y, observed=observed)
    _check(fitted)
    assert (_at(fitted, z)[0][:, 2] < 0.5).all()


def test_constant_columns_and_repeated_rows(kind):
    z, _, _ = _data(6)
    z = z.repeat(3, 1)
    y = torch.tensor([[100.0, 0.0, 1.0]], dtype=torch.float64).repeat(18, 1)
    fitted = _build(kind).fit(z, y, observed=torch.ones(18, 3, dtype=torch.bool))
    _check(fitted)
    assert _at(fitted, z)[0][:, 0].tolist() == pytest.approx([100.0] * 18, rel=1e-3)


def test_one_outcome_and_known_noise(kind, device):
    """The same values, once exact and once hardly worth believing."""
    z, y, _ = _data(12)
    observed, means = torch.ones(12, 1, dtype=torch.bool), []
    for noise in (1e-4, 1e4):
        variance = torch.full((12, 1), noise, dtype=torch.float64)
        surrogate = _build(kind, device, ("success",))
        fitted = surrogate.fit(
            z.to(device), y[:, 2:].to(device), observed=observed.to(device), noise=variance.to(device)
        )
        _check(fitted, m=1, device=device)
        means.append(_at(fitted, z, device)[0])
    misfit = [float((mean - y[:, 2:]).abs().mean()) for mean in means]
    assert misfit[0] < misfit[1]


def test_inputs_are_left_alone(kind):
    z, y, observed = _data(10)
    copies = z.clone(), y.clone(), observed.clone()
    _build(kind).fit(z, y, observed=observed)
    assert all(torch.equal(a, b) for a, b in zip(copies, (z, y, observed), strict=True))


@pytest.mark.parametrize("wrong", ["y too short", "y too narrow", "observed too short", "z is a vector"])
def test_wrong_shapes_are_refused(kind, wrong):
    z, y, observed = _data(6)
    given = {
        "y too short": (z, y[:5], observed),
        "y too narrow": (z, y[:, :2], observed),
        "observed too short": (z, y, observed[:5]),
        "z is a vector": (z[:, 0], y, observed),
    }[wrong]
    with pytest.raises(ValueError, match="must be"):
        _build(kind).fit(given[0], given[1], observed=given[2])


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("where", ["z", "y"])
def test_what_is_no_number_is_refused(kind, where, value):
    z, y, observed = _data(6)
    observed[:] = True
    (z if where == "z" else y)[2, 0] = value
    with pytest.raises(ValueError, match="finite"):
        _build(kind).fit(z, y, observed=observed)
