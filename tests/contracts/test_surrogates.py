"""What every surrogate kind must do. A new kind inherits these tests by existing."""

from __future__ import annotations

import importlib
import json
import sys

import pytest
import torch
from botorch.models.model import Model
from torch import Tensor

import surrogates.models
from campaigns.kinds import available_kinds, build_kind
from campaigns.spec import KindSpec
from surrogates.protocols import FittedSurrogate, Surrogate, SurrogateContext

OUTCOMES = ("bulk_modulus_gpa", "energy_above_hull_ev_atom", "success")
D = 5

each_kind = pytest.mark.parametrize("kind", available_kinds("surrogate"))


def _build(kind: str, outcomes: tuple[str, ...] = OUTCOMES) -> Surrogate:
    return build_kind("surrogate", KindSpec(kind=kind), SurrogateContext(torch.device("cpu"), outcomes), "surrogate")


def _data(n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    z = torch.randn(n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    y = torch.stack([120 + 30 * z[:, 0], 0.1 * z[:, 1].square(), (z[:, 2] > -1).double()], dim=1)
    observed = torch.ones(n, 3, dtype=torch.bool)
    observed[:, :2] = y[:, 2:] > 0.5
    return z, y, observed


def _check(fitted: FittedSurrogate, m: int = 3) -> None:
    """A posterior over m outcomes at new points, joint and batched, finite, float64; a JSON-able report."""
    assert isinstance(fitted.model, Model)
    new = _data(4, seed=1)[0]
    for at in (new, new.unsqueeze(-2)):
        posterior = fitted.model.posterior(at)
        assert posterior.mean.shape == (*at.shape[:-1], m)
        assert posterior.mean.dtype == torch.float64
        assert torch.isfinite(posterior.mean).all()
        assert (posterior.variance > 0).all()
    sample = fitted.model.posterior(new).rsample(torch.Size([3]))
    assert sample.shape == (3, 4, m)
    assert set(json.loads(json.dumps(dict(fitted.report.outcomes)))) == set(OUTCOMES[-m:])


@each_kind
def test_learns_and_answers_in_the_outcomes_units(kind):
    z, y, observed = _data(40)
    fitted = _build(kind).fit(z, y, observed=observed)
    _check(fitted)
    new, expected, _ = _data(30, seed=2)
    mean = fitted.model.posterior(new).mean[:, 0]
    assert float((mean - expected[:, 0]).abs().mean()) < 20  # GPa; the constant guess is off by 24 on average


@each_kind
def test_same_rows_give_the_same_posterior(kind):
    z, y, observed = _data(15)
    new = _data(4, seed=1)[0]
    results = []
    for disturbance in (1, 2):
        torch.manual_seed(disturbance)
        results.append(_build(kind).fit(z, y, observed=observed).model.posterior(new))
    assert torch.equal(results[0].mean, results[1].mean)
    assert torch.equal(results[0].variance, results[1].variance)


@each_kind
@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_any_number_of_rows(kind, n):
    z, y, observed = _data(n)
    _check(_build(kind).fit(z, y, observed=observed))


@each_kind
def test_every_candidate_failed(kind):
    z, y, observed = _data(10)
    y[:, 2], observed[:, :2] = 0.0, False
    fitted = _build(kind).fit(z, y, observed=observed)
    _check(fitted)
    assert (fitted.model.posterior(z).mean[:, 2] < 0.5).all()


@each_kind
def test_constant_columns_and_repeated_rows(kind):
    z, _, _ = _data(6)
    z = z.repeat(3, 1)
    y = torch.tensor([[100.0, 0.0, 1.0]], dtype=torch.float64).repeat(18, 1)
    fitted = _build(kind).fit(z, y, observed=torch.ones(18, 3, dtype=torch.bool))
    _check(fitted)
    assert fitted.model.posterior(z).mean[:, 0].tolist() == pytest.approx([100.0] * 18, rel=1e-3)


@each_kind
def test_one_outcome_and_known_noise(kind):
    z, y, _ = _data(12)
    observed = torch.ones(12, 1, dtype=torch.bool)
    fitted = _build(kind, ("success",)).fit(z, y[:, 2:], observed=observed, noise=torch.full((12, 1), 0.01).double())
    _check(fitted, m=1)


@each_kind
def test_inputs_are_left_alone(kind):
    z, y, observed = _data(10)
    copies = z.clone(), y.clone(), observed.clone()
    _build(kind).fit(z, y, observed=observed)
    assert all(torch.equal(a, b) for a, b in zip(copies, (z, y, observed), strict=True))


TOY = """
import torch
from botorch.models import ModelListGP, SingleTaskGP
from pydantic import BaseModel, ConfigDict
from surrogates.protocols import FitReport

class Params(BaseModel):
    model_config = ConfigDict(extra="forbid")

class Fitted:
    def __init__(self, model, report):
        self.model, self.report = model, report

class Unfitted:
    def __init__(self, context):
        self.context = context
    def fit(self, z, y, *, observed, noise=None):
        models = [SingleTaskGP(z, y[:, [i]]).eval() for i in range(y.shape[1])]
        return Fitted(ModelListGP(*models), FitReport({name: {} for name in self.context.outcomes}))

def build(params, context):
    return Unfitted(context)
"""


def test_a_new_kind_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "toy_gp.py").write_text(TOY)
    monkeypatch.setattr(surrogates.models, "__path__", [*surrogates.models.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    try:
        assert "toy_gp" in available_kinds("surrogate")
        z = torch.rand(8, D, dtype=torch.float64)
        y = torch.stack([z[:, 0], z[:, 1], z[:, 2]], dim=1)
        y = (y - y.mean(0)) / y.std(0)
        _check(_build("toy_gp").fit(z, y, observed=torch.ones(8, 3, dtype=torch.bool)))
    finally:
        sys.modules.pop("surrogates.models.toy_gp", None)
        monkeypatch.delattr(surrogates.models, "toy_gp", raising=False)
