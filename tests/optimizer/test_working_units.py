"""Properties in units that make their values very small or very large."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from small_campaign import SMALL, run_small

from campaigns.goals import Constraint, Objective
from campaigns.store import CampaignStore
from optimizer.objective import CampaignObjective
from optimizer.proposal import _predictions
from optimizer.working_units import WorkingUnits
from surrogates.models import exact_gp
from surrogates.protocols import SurrogateContext

OBJECTIVE = CampaignObjective(
    (("conductivity_s_cm", Objective.model_validate({"target": 2e-6})),),
    (("modulus_pa", Constraint(min=1e9, max=5e9)), ("hull_ev_atom", Constraint(max=0.1))),
)
VALUES = [
    None,
    {"conductivity_s_cm": 1e-6, "modulus_pa": 2e9, "hull_ev_atom": 0.1},
    {"conductivity_s_cm": 5e-6, "modulus_pa": 6e9, "hull_ev_atom": 0.3},
    {"conductivity_s_cm": 4e-6, "hull_ev_atom": 0.2},
]


def test_wishes_mean_the_same_in_them_and_ordinary_values_are_left_alone():
    y, observed = OBJECTIVE.table(VALUES)
    units = WorkingUnits.of(y, observed, OBJECTIVE.outcomes)
    assert units.factors == pytest.approx({"conductivity_s_cm": 1e6, "modulus_pa": 1e-9})
    values = [each and {name: x * units.factors.get(name, 1) for name, x in each.items()} for each in VALUES]
    wishes = units.objective(OBJECTIVE)
    assert wishes.ranking(values) == OBJECTIVE.ranking(VALUES) == (1, 2)
    assert [wishes.feasible(each) for each in values] == [OBJECTIVE.feasible(each) for each in VALUES]
    assert wishes.violation(values[2]) == pytest.approx(OBJECTIVE.violation(VALUES[2]))
    assert torch.allclose(wishes.table(values)[0], y * units.of_outcomes(OBJECTIVE.outcomes))
    none = WorkingUnits.of(y, observed, OBJECTIVE.outcomes, leave=("conductivity_s_cm", "modulus_pa"))
    assert none.objective(OBJECTIVE) == OBJECTIVE


def test_what_was_never_measured_is_predicted_without_the_noise_of_a_placeholder(tmp_path):
    """Its process has no row, and a noise that stands for none."""
    surrogate = exact_gp.build(exact_gp.Params(), SurrogateContext(torch.device("cpu"), OBJECTIVE.outcomes))
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(12, 3, generator=draw, dtype=torch.float64)
    y = torch.randn(12, 4, generator=draw, dtype=torch.float64)
    observed = torch.ones(12, 4, dtype=torch.bool)
    observed[:, OBJECTIVE.outcomes.index("modulus_pa")] = False
    parts = SimpleNamespace(objective=OBJECTIVE, device=torch.device("cpu"))
    fitted = surrogate.fit(z, y, observed=observed)
    (first, *_) = _predictions(parts, fitted, WorkingUnits({}), z)
    assert first["modulus_pa"] == pytest.approx((0.0, 1.0), abs=0.01)
    assert 0 < first["hull_ev_atom"][1] < 2


@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_a_campaign_predicts_in_the_propertys_own_unit(tmp_path, unit):
    (tmp_path / "mine.py").write_text(f"def rho(crystal):\n    return {unit} * crystal.density\n")
    oracle = {"kind": "python", "function": "mine.py:rho", "properties": {"rho": "1"}}
    start = [{"kind": "generator_samples", "n": 8}]
    changes = {"oracles": [oracle], "objectives": {"rho": "maximize"}, "start": start, "budget": {"oracle_calls": 10}}
    with CampaignStore.open(run_small(tmp_path, **(SMALL | changes))) as store:
        measured = [stages[0].outcome.values["rho"] for stages in store.outcomes().values()]
        predicted = [c.predicted["rho"] for c in store.candidates(1)]
        (entry,) = (r.figures["surrogate"]["rho"] for r in store.rounds() if r.phase == "propose")
    assert len(predicted) == 2
    lowest, highest = min(measured), max(measured)
    for mean, sd in predicted:
        assert lowest - (highest - lowest) < mean < highest + (highest - lowest)
        assert 0.001 * (highest - lowest) < sd < 2 * (highest - lowest)
    assert 0 < entry["noise_sd"] < highest - lowest
