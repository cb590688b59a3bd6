"""Properties in units that make their values very small or very large."""

from __future__ import annotations

import pytest
from small_campaign import SMALL, run_small

from campaigns.goals import Constraint, Objective
from campaigns.store import CampaignStore
from optimizer.objective import CampaignObjective
from optimizer.working_units import WorkingUnits

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
    units = WorkingUnits.of(VALUES, OBJECTIVE.properties)
    assert set(units.factors) == {"conductivity_s_cm", "modulus_pa"}
    values, wishes = units.values(VALUES), units.objective(OBJECTIVE)
    assert values[2] == pytest.approx({"conductivity_s_cm": 5.0, "modulus_pa": 6.0, "hull_ev_atom": 0.3})
    assert wishes.ranking(values) == OBJECTIVE.ranking(VALUES) == (1, 2)
    assert [wishes.feasible(each) for each in values] == [OBJECTIVE.feasible(each) for each in VALUES]
    assert wishes.violation(values[2]) == pytest.approx(OBJECTIVE.violation(VALUES[2]))
    assert WorkingUnits.of(VALUES, {"hull_ev_atom"}).objective(OBJECTIVE) == OBJECTIVE


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
