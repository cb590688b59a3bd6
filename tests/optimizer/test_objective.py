"""Ranking of measured values, and the same rules on tensors."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch

from campaigns.errors import SpecError
from campaigns.spec import CampaignSpec, parse_spec
from optimizer.objective import CampaignObjective


def _spec(objectives: dict, constraints: dict | None = None) -> CampaignSpec:
    return parse_spec(
        {
            "name": "t",
            "oracles": [{"kind": "any"}],
            "objectives": objectives,
            "constraints": constraints or {},
            "budget": {"oracle_calls": 10},
        }
    )


def _objective(objectives: dict, constraints: dict | None = None) -> CampaignObjective:
    return CampaignObjective.from_spec(_spec(objectives, constraints))


HULL = {"energy_above_hull_ev_atom": {"max": 0.1}}
STIFF = _objective({"bulk_modulus_gpa": "maximize"}, HULL)
STIFF_AND_LIGHT = _objective({"bulk_modulus_gpa": "maximize", "density_g_cm3": "minimize"}, HULL)


def _values(modulus: float, hull: float = 0.0, **more: float) -> dict[str, float]:
    return {"bulk_modulus_gpa": modulus, "energy_above_hull_ev_atom": hull, **more}


def test_outcomes_are_sorted_properties_then_success():
    assert STIFF.outcomes == ("bulk_modulus_gpa", "energy_above_hull_ev_atom", "success")
    turned = _objective({"density_g_cm3": "minimize", "bulk_modulus_gpa": "maximize"}, HULL)
    assert turned == STIFF_AND_LIGHT
    same = _objective({"density_g_cm3": "minimize"}, {"density_g_cm3": {"min": 1.0}})
    assert same.outcomes == ("density_g_cm3", "success")


@pytest.mark.parametrize("section", ["objectives", "constraints"])
def test_success_is_no_name_for_a_property(section):
    parts = {"objectives": {"density_g_cm3": "minimize"}, "constraints": {}}
    parts[section] = {**parts[section], "success": "maximize" if section == "objectives" else {"min": 1}}
    with pytest.raises(SpecError, match=f"{section}.success"):
        _objective(parts["objectives"], parts["constraints"])


def test_score_turns_every_goal_into_maximisation():
    assert _objective({"density_g_cm3": "minimize"}).score({"density_g_cm3": 3.0}) == (-3.0,)
    assert _objective({"band_gap_ev": {"target": 1.5}}).score({"band_gap_ev": 1.0}) == (-0.5,)
    assert STIFF.score(_values(200.0)) == (200.0,)


def test_feasible_includes_the_bound_and_excludes_what_is_missing():
    assert STIFF.feasible(_values(1.0, 0.1))
    assert not STIFF.feasible(_values(1.0, 0.11))
    assert not STIFF.feasible({"bulk_modulus_gpa": 1.0})
    assert not STIFF.feasible(None)


def test_violation_is_relative_and_adds_up():
    both = _objective({"band_gap_ev": "maximize"}, {"a_gpa": {"min": 50, "max": 100}, "b_ev": {"max": 0}})
    assert both.violation({"band_gap_ev": 1, "a_gpa": 75, "b_ev": -1}) == 0.0
    assert both.violation({"band_gap_ev": 1, "a_gpa": 110, "b_ev": 0.2}) == pytest.approx(0.1 + 0.2)
    assert both.violation({"band_gap_ev": 1, "a_gpa": 40, "b_ev": 0}) == pytest.approx(0.2)
    assert both.violation(None) == math.inf


def test_best_is_the_best_feasible():
    values = [_values(500, 0.3), None, _values(100), _values(150, 0.05), {"bulk_modulus_gpa": 900.0}]
    assert STIFF.best(values) == 3
    assert STIFF.ranking(values) == (3, 2, 0)  # feasible by score, then infeasible; failed are left out
    assert STIFF.best([None, _values(500, 0.3)]) is None
    assert STIFF.best([]) is None
    assert STIFF.progress(values) == 150
    assert STIFF.progress([None]) is None


def test_better_orders_feasible_infeasible_failed():
    good, poor, out, further = _values(200), _values(100), _values(900, 0.2), _values(900, 0.5)
    for left, right in [(good, poor), (poor, out), (out, further), (further, None)]:
        assert STIFF.better(left, right)
        assert not STIFF.better(right, left)
    assert not STIFF.better(None, None)
    assert not STIFF.better(good, dict(good))


def test_two_goals_keep_a_front():
    values = [
        _values(100, density_g_cm3=2.0),
        _values(200, density_g_cm3=5.0),
        _values(90, density_g_cm3=3.0),  # dominated by the first
        _values(400, 0.5, density_g_cm3=1.0),  # infeasible
        _values(150, density_g_cm3=2.5),
        None,
    ]
    assert STIFF_AND_LIGHT.front(values) == (0, 1, 4)
    ranking = STIFF_AND_LIGHT.ranking(values)
    assert set(ranking[:3]) == {0, 1, 4}
    assert ranking[3:] == (2, 3)
    assert STIFF_AND_LIGHT.best(values) == ranking[0]


def test_progress_of_two_goals_grows_against_one_reference_whatever_the_order():
    values = [
        _values(100, density_g_cm3=2.0),
        _values(200, density_g_cm3=5.0),
        _values(180, density_g_cm3=2.5),
    ]
    reference = STIFF_AND_LIGHT.reference(values)
    assert reference == STIFF_AND_LIGHT.reference(values[::-1])
    steps = [STIFF_AND_LIGHT.progress(values[: i + 1], reference) for i in range(3)]
    assert steps == sorted(steps)
    assert steps[0] < steps[2]
    assert STIFF_AND_LIGHT.reference([None]) is None


def test_table_keeps_what_a_failed_candidate_did_yield():
    y, observed = STIFF.table([_values(100, 0.02), None, {"energy_above_hull_ev_atom": 0.3}])
    assert y.dtype == torch.float64
    assert y.tolist() == [[100.0, 0.02, 1.0], [0.0, 0.0, 0.0], [0.0, 0.3, 0.0]]
    assert observed.tolist() == [[True, True, True], [False, False, True], [False, True, True]]
    empty, none = STIFF.table([])
    assert empty.shape == none.shape == (0, 3)


def test_far_outliers_of_a_mere_constraint_are_drawn_in_but_stay_infeasible():
    hulls = [0.02, 0.05, 0.12, 0.2, 0.09, 4.0, -0.5]
    y, _ = STIFF.table([_values(100 + 1000 * h, h) for h in hulls])
    assert y[:, 0].tolist() == pytest.approx([100 + 1000 * h for h in hulls])  # a goal is left alone
    assert 0.3 < float(y[5, 1]) < 1.0
    unchanged = [i for i in range(7) if i != 5]
    assert y[unchanged, 1].tolist() == [hulls[i] for i in unchanged]
    assert (y[:, 1] <= 0.1).tolist() == [h <= 0.1 for h in hulls]


def test_without_spread_nothing_is_drawn_in():
    y, _ = STIFF.table([_values(100, 0.05)] * 6 + [_values(100, 2.0)])
    assert float(y[-1, 1]) == 2.0


def test_tensors_follow_the_plain_rules():
    target = _objective(
        {"band_gap_ev": {"target": 1.5}, "density_g_cm3": "minimize"},
        {"bulk_modulus_gpa": {"min": 50, "max": 300}, "energy_above_hull_ev_atom": {"max": 0.1}},
    )
    rows = [
        {"band_gap_ev": g, "density_g_cm3": d, "bulk_modulus_gpa": k, "energy_above_hull_ev_atom": h}
        for g, d, k, h in [(1.0, 3, 100, 0.05), (2.0, 4, 40, 0.05), (1.5, 5, 310, 0.3), (0, 6, 300, 0.1)]
    ]
    samples = target.table(rows)[0].expand(2, 4, 5)
    assert target.utility(samples).shape == (2, 4, 2)
    assert [tuple(row) for row in target.utility(samples)[1].tolist()] == [target.score(row) for row in rows]
    overshoot = torch.stack([constraint(samples) for constraint in target.constraint_callables()], dim=-1)
    assert overshoot.shape == (2, 4, 4)  # min, max, max, success
    assert (overshoot <= 0).all(-1)[0].tolist() == [target.feasible(row) for row in rows]
    violations = overshoot[0, :, :3].clamp_min(0).sum(-1).tolist()
    assert violations == pytest.approx([target.violation(row) for row in rows])


def test_a_failed_row_breaks_the_success_constraint():
    y, _ = STIFF.table([None, _values(100)])
    assert (STIFF.constraint_callables()[-1](y) <= 0).tolist() == [False, True]


def test_importing_it_loads_no_torch():
    code = "import sys, optimizer.objective; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
