"""Why a round looks where it does, in words."""

from __future__ import annotations

import pytest

from campaigns.goals import Constraint, Objective
from campaigns.ledger import RoundRecord
from optimizer.narration import feasibility, last_proposal, proposal_figures, why
from optimizer.objective import CampaignObjective

REGION = {"length": 0.4, "centers": 8, "successes": 0, "failures": 1, "restarts": 0}
FIGURES = {
    "trust_region": REGION,
    "pool": {"drawn": 1024, "admitted": 382, "shares": {"prior": 0.2}, "arms": {}},
    "chosen_arms": {"prior": 1, "substitution": 5},
}
ROUNDS = [
    RoundRecord(0, "start", {}, {}, "2026-01-01T00:00:00+00:00"),
    RoundRecord(1, "propose", {"known": 3, "duplicate": 600}, FIGURES, "2026-01-01T00:00:00+00:00"),
    RoundRecord(1, "evaluate", {}, {}, "2026-01-01T00:00:00+00:00"),
]


def test_a_proposal_is_told_with_its_reasons():
    record = last_proposal(ROUNDS)
    assert record is ROUNDS[1]
    assert why(proposal_figures(record), (3, 12)) == (
        "trust region 0.40 after 1 round without gain, around 8 crystals; chosen of 382: substitution 5, prior 1; "
        "screened out: duplicate 600, known 3; 3 of 12 measured are feasible"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"failures": 0, "successes": 2}, "trust region 0.40 after 2 rounds with a gain,"),
        ({"failures": 0, "restarts": 1}, "trust region 0.40, started over 1 time,"),
        ({"failures": 0}, "trust region 0.40, around 8 crystals"),
    ],
)
def test_the_width_has_a_reason(changes, said):
    record = RoundRecord(2, "propose", {}, {"trust_region": REGION | changes}, "")
    assert why(proposal_figures(record)).startswith(said)


def test_one_crystal_is_counted_as_one():
    record = RoundRecord(2, "propose", {}, {"trust_region": REGION | {"failures": 0, "centers": 1}}, "")
    assert why(proposal_figures(record)) == "trust region 0.40, around 1 crystal"


def test_a_ledger_that_says_nothing_is_told_in_no_words():
    assert last_proposal([]) is None
    assert why(proposal_figures(RoundRecord(1, "propose", {}, {}, ""))) == ""


def test_what_is_feasible_is_counted_among_the_complete():
    objective = CampaignObjective((("gap_ev", Objective(goal="maximize")),), (("hull_ev", Constraint(max=0.1)),))
    values = [{"gap_ev": 1.0, "hull_ev": 0.0}, {"gap_ev": 1.0, "hull_ev": 0.5}, {"gap_ev": 1.0}, None]
    assert feasibility(values, objective) == (1, 2)
