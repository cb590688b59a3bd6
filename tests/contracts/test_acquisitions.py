"""What every acquisition kind must do. A new kind inherits these tests by existing."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch
from torch import Tensor

import optimizer.acquisition
from campaigns.kinds import available_kinds, build_kind
from campaigns.spec import Constraint, KindSpec, Objective, SearchSpace
from optimizer.objective import CampaignObjective
from optimizer.protocols import Acquisition, ProposalContext
from surrogates.models.exact_gp import Params, build
from surrogates.protocols import FittedSurrogate, SurrogateContext

D = 4
ONE = CampaignObjective((("bulk_modulus_gpa", Objective(goal="maximize")),), (("density_g_cm3", Constraint(max=6)),))
TWO = CampaignObjective(
    (("bulk_modulus_gpa", Objective(goal="maximize")), ("density_g_cm3", Objective(goal="minimize")))
)
TARGET = CampaignObjective((("density_g_cm3", Objective(goal="target", target=4.0)),))

each_kind = pytest.mark.parametrize("kind", available_kinds("acquisition"))


def _build(kind: str) -> Acquisition:
    return build_kind("acquisition", KindSpec(kind=kind), None, "acquisition")


def _latents(n: int, seed: int) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _values(z: Tensor) -> list[dict[str, float] | None]:
    return [
        None if row[2] < -1.2 else {"bulk_modulus_gpa": float(150 + 30 * row[0]), "density_g_cm3": float(5 + row[1])}
        for row in z
    ]


def _fit(objective: CampaignObjective, z: Tensor, values=None) -> FittedSurrogate:
    y, observed = objective.table(_values(z) if values is None else values)
    return build(Params(), SurrogateContext(torch.device("cpu"), objective.outcomes)).fit(z, y, observed=observed)


def _context(pool: Tensor, observed_z: Tensor, pending: Tensor | None = None) -> ProposalContext:
    none = torch.empty(0, D, dtype=torch.float64)
    return ProposalContext(pool, observed_z, none if pending is None else pending, torch.device("cpu"), SearchSpace())


def _check(chosen: Tensor, n: int, expected: int) -> None:
    assert chosen.dtype == torch.int64
    assert chosen.device.type == "cpu"
    assert chosen.shape == (expected,)
    assert len(set(chosen.tolist())) == expected
    assert all(0 <= i < n for i in chosen.tolist())


@each_kind
@pytest.mark.parametrize("objective", [ONE, TWO, TARGET], ids=["one", "two", "target"])
def test_a_batch_is_q_different_rows_and_follows_from_the_seed(kind, objective):
    z = _latents(15, 0)
    fitted, context = _fit(objective, z), _context(_latents(60, 1), z)
    results = []
    for disturbance in (1, 2):
        torch.manual_seed(disturbance)
        results.append(_build(kind).propose(fitted, objective, context, q=5, seed=11))
    _check(results[0], 60, 5)
    assert torch.equal(results[0], results[1])


@each_kind
@pytest.mark.parametrize(("n", "expected"), [(0, 0), (1, 1), (3, 3)])
def test_a_small_pool_is_used_up(kind, n, expected):
    z = _latents(10, 0)
    chosen = _build(kind).propose(_fit(ONE, z), ONE, _context(_latents(n, 1), z), q=8, seed=0)
    _check(chosen, n, expected)


@each_kind
@pytest.mark.parametrize("objective", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_observation(kind, objective, n):
    z = _latents(n, 0)
    chosen = _build(kind).propose(_fit(objective, z), objective, _context(_latents(20, 1), z), q=4, seed=0)
    _check(chosen, 20, 4)


@each_kind
@pytest.mark.parametrize("objective", [ONE, TWO], ids=["one", "two"])
def test_every_candidate_failed(kind, objective):
    z = _latents(12, 0)
    fitted = _fit(objective, z, [None] * 12)
    _check(_build(kind).propose(fitted, objective, _context(_latents(20, 1), z), q=4, seed=0), 20, 4)


@each_kind
@pytest.mark.parametrize("objective", [ONE, TWO], ids=["one", "two"])
def test_constant_outcomes(kind, objective):
    z = _latents(12, 0)
    fitted = _fit(objective, z, [{"bulk_modulus_gpa": 100.0, "density_g_cm3": 5.0}] * 12)
    _check(_build(kind).propose(fitted, objective, _context(_latents(20, 1), z), q=4, seed=0), 20, 4)


@each_kind
@pytest.mark.parametrize("objective", [ONE, TWO], ids=["one", "two"])
def test_pending_and_repeated_rows_are_no_obstacle(kind, objective):
    z, pool = _latents(15, 0), _latents(20, 1)
    pool[10:] = pool[:10]
    context = _context(pool, z, pending=torch.cat([pool[:3], z[:2]]))
    chosen = _build(kind).propose(_fit(objective, z), objective, context, q=4, seed=0)
    _check(chosen, 20, 4)


TOY = """
import torch
from pydantic import BaseModel, ConfigDict

class Params(BaseModel):
    model_config = ConfigDict(extra="forbid")

class First:
    def propose(self, fitted, objective, context, *, q, seed):
        return torch.arange(min(q, len(context.pool)))

def build(params, context):
    return First()
"""


def test_a_new_kind_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "first_rows.py").write_text(TOY)
    monkeypatch.setattr(optimizer.acquisition, "__path__", [*optimizer.acquisition.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    try:
        assert "first_rows" in available_kinds("acquisition")
        z = _latents(6, 0)
        chosen = _build("first_rows").propose(_fit(ONE, z), ONE, _context(_latents(5, 1), z), q=3, seed=0)
        assert chosen.tolist() == [0, 1, 2]
    finally:
        sys.modules.pop("optimizer.acquisition.first_rows", None)
        monkeypatch.delattr(optimizer.acquisition, "first_rows", raising=False)
