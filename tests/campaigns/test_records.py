"""What can be said of a candidate's way through the cascade."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from campaigns.records import (
    Failed,
    FailureCode,
    Measured,
    Property,
    StageOutcome,
    final_crystal,
    first_failure,
    kept_out,
    last_values,
)

PROPOSED = Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]])
RELAXED = Structure(Lattice.cubic(3.3), ["Po"], [[0, 0, 0]])


def test_the_last_value_of_each_property_counts():
    stages = [
        StageOutcome("relax", "1", Measured({"energy_ev_atom": -1.0, "volume_ang3_atom": 27.0}, RELAXED)),
        StageOutcome("verify", "1", Measured({"energy_ev_atom": -1.1}, RELAXED)),
        StageOutcome("bulk_modulus", "1", Failed(FailureCode.EOS_BAD_FIT, "rough")),
    ]
    assert last_values(stages) == {"energy_ev_atom": -1.1, "volume_ang3_atom": 27.0}
    failure = first_failure(stages)
    assert failure is not None
    assert failure.code == "eos_bad_fit"
    assert final_crystal(stages, PROPOSED) is RELAXED


def test_a_candidate_that_nothing_measured_stays_as_proposed():
    stages = [StageOutcome("relax", "1", Failed(FailureCode.COLLAPSED, ""))]
    assert last_values(stages) == {}
    assert final_crystal(stages, PROPOSED) is PROPOSED
    assert first_failure([]) is None


@pytest.mark.parametrize("code", ["stopped_by_rule", "stage_budget_spent"])
def test_who_was_kept_out_of_a_stage_has_not_failed(code):
    stages = [
        StageOutcome("relax", "1", Measured({"energy_ev_atom": -1.0}, RELAXED)),
        StageOutcome("before verify", "1", Failed(FailureCode(code), "why")),
    ]
    assert first_failure(stages) is None
    assert kept_out(stages) is stages[1].outcome
    assert last_values(stages) == {"energy_ev_atom": -1.0}
    assert final_crystal(stages, PROPOSED) is RELAXED
    assert kept_out(stages[:1]) is None


def test_a_property_name_is_lower_snake_case():
    with pytest.raises(ValueError, match="band_gap_ev"):
        Property("Band gap", "eV", "")
