"""Arms that bring good crystals make more of the next pool; none is given up."""

from __future__ import annotations

import pytest

from campaigns.goals import Constraint, Objective
from optimizer.objective import CampaignObjective
from optimizer.portfolio import ASCENT, FIRST_SHARES, FLOOR, arm_shares
from optimizer.trust_region import ARMS

STIFF = CampaignObjective((("bulk_modulus_gpa", Objective(goal="maximize")),), (("density_g_cm3", Constraint(max=10)),))


def _values(modulus: float, density: float = 5.0) -> dict[str, float]:
    return {"bulk_modulus_gpa": modulus, "density_g_cm3": density}


def _shares(*seen: tuple[str, dict[str, float] | None]) -> dict[str, float]:
    return arm_shares([arm for arm, _ in seen], [values for _, values in seen], STIFF)


def test_shares_name_every_arm_and_sum_to_one():
    shares = _shares()
    assert tuple(shares) == (*ARMS, ASCENT)
    assert sum(shares.values()) == pytest.approx(1)
    assert sorted(shares, key=shares.__getitem__) == sorted(FIRST_SHARES, key=FIRST_SHARES.__getitem__)


def test_what_earns_gains_and_what_does_not_loses():
    start = [("generator_samples", _values(50.0))] * 8
    won = [("substitution", _values(300.0 + i)) for i in range(6)]
    lost = [("trust_region", _values(20.0))] * 6
    before, after = _shares(*start), _shares(*start, *won, *lost)
    assert after["substitution"] > before["substitution"]
    assert after["trust_region"] < before["trust_region"]
    assert after["crossover"] == pytest.approx(before["crossover"], abs=0.1)


def test_failed_and_forbidden_candidates_earn_nothing():
    bad = [*[("substitution", None)] * 10, *[("prior", _values(900.0, density=30.0))] * 10]
    shares = _shares(("generator_samples", _values(50.0)), *bad)
    assert shares["substitution"] < FIRST_SHARES["substitution"]
    assert shares["prior"] < FIRST_SHARES["prior"]


def test_while_nothing_is_feasible_who_comes_closest_gains():
    start = [("generator_samples", _values(50.0, density=30.0))] * 8
    closer = [(ASCENT, _values(50.0, density=25.0 - i / 10)) for i in range(30)]
    before, after = _shares(*start), _shares(*start, *closer, *[("prior", _values(50.0, density=31.0))] * 10)
    assert after[ASCENT] > after["prior"] + before[ASCENT] - before["prior"]


def test_no_arm_is_given_up():
    shares = _shares(*[("crossover", None)] * 500)
    assert shares["crossover"] == pytest.approx(FLOOR, abs=0.01)
