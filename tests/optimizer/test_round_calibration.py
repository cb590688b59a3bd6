import pytest

from campaigns.records import Candidate, Measured, StageOutcome
from optimizer.round_calibration import round_calibration


class _Ledger:
    """Three candidates of one round: predicted well, predicted badly, and failed."""

    def candidates(self, round):
        predicted = {"bulk_modulus_gpa": (100.0, 10.0)}
        return [Candidate(f"c{n}", round, "prior", None, None, None, predicted=predicted) for n in range(3)]

    def outcomes(self, among):
        values = {"c0": 105.0, "c1": 140.0}
        return {
            name: (StageOutcome("k", "1", Measured({"bulk_modulus_gpa": value}, None)),)
            for name, value in values.items()
        }


def test_shares_inside_the_intervals_and_the_density_given():
    found = round_calibration(_Ledger(), 1)["bulk_modulus_gpa"]
    assert (found["n"], found["coverage_50"], found["coverage_90"]) == (2, 0.5, 0.5)
    assert found["log_score"] == pytest.approx(-0.5 * (0.25 + 16) / 2 - 3.2215, abs=1e-3)
