"""The oracle that predicts from a user's table."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from campaigns.records import Measured
from optimizer.oracles.predictor import Params, PredictorOracle, build
from optimizer.protocols import OracleContext

METALS, PARTNERS = ("Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba"), ("O", "S", "Se", "F", "Cl", "Br")


def _salt(a: str, b: str, edge: float = 5.0) -> Structure:
    lattice = Lattice.from_parameters(edge * 0.7071, edge * 0.7071, edge * 0.7071, 60, 60, 60)
    return Structure(lattice, [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> PredictorOracle:
    """Labels are densities, which a predictor from densities should learn."""
    folder = tmp_path_factory.mktemp("table")
    crystals = [_salt(a, b) for a in METALS for b in PARTNERS]
    lines = ["cif,rho", *(f'"{x.to(fmt="cif")}",{float(x.density)}' for x in crystals)]
    (folder / "table.csv").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        params = Params(path="table.csv", property="density_g_cm3", unit="g/cm^3", column="rho", confidence=0.8)
        return build(params, OracleContext("cpu", str(folder)))


def _ask(oracle: PredictorOracle, crystal: Structure) -> Measured:
    ((_, outcome),) = oracle.evaluate([crystal], seed=0)
    assert isinstance(outcome, Measured), outcome
    return outcome


def test_a_prediction_says_that_it_is_one_with_interval_and_error(oracle):
    crystal = _salt("Ca", "Cl", 5.2)
    outcome = _ask(oracle, crystal)
    assert "predicted" in outcome.flags
    assert outcome.values["density_g_cm3"] == pytest.approx(float(crystal.density), abs=0.8)
    low, high = outcome.details["interval"]
    assert low < outcome.values["density_g_cm3"] < high
    details = outcome.details
    assert details["mean_absolute_error_of_unseen_formulas"] < 0.5 * details["mean_absolute_error_of_guessing_the_mean"]


def test_what_it_was_fitted_to_and_what_it_cannot_know_are_flagged(oracle):
    flags = [_ask(oracle, _salt(a, b)).flags for a in METALS for b in PARTNERS]
    assert sum("in_sample" in each for each in flags) == pytest.approx(0.8 * len(flags), abs=1)
    strange = _ask(oracle, _salt("W", "N", 4.1)).flags
    assert "out_of_domain" in strange
    assert "in_sample" not in strange


def test_check_is_told_how_good_it_is(oracle):
    (note,) = oracle.notes
    assert "48 rows (48 formulas)" in note
    assert "on formulas left out" in note
    assert "g/cm^3" in note


def test_a_table_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="does not exist"):
        build(Params(path="no.csv", property="gap_ev", unit="eV"), OracleContext("cpu", str(tmp_path)))
