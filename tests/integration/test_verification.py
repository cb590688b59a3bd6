"""The top of a list measured again with another potential."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_campaigns import EMT, emt_campaign

from campaigns.errors import UserError
from campaigns.spec import parse_spec
from optimizer import verification
from optimizer.calculators import CalculatorParams
from optimizer.formulas import elements_of
from optimizer.loop import run_campaign
from optimizer.references import ReferenceTable
from optimizer.verification import Verification, near_hull, read_verification, rebuilt_crystal, verify_campaign

SECOND = CalculatorParams(calculator=EMT, calculator_args={"asap_cutoff": True})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("run")
    spec = parse_spec(
        emt_campaign(start=[{"kind": "generator_samples", "n": 2}], budget={"oracle_calls": 2}, export={"top": 1})
    )
    return run_campaign(spec, folder=place, run_folder=place / "emt", quiet=True)


def test_known_phases_are_rebuilt_from_their_types():
    table = ReferenceTable.load()
    rows = near_hull(table, frozenset({"Na", "Cl", "Cu", "Au"}))
    assert rows
    for row in rows:
        crystal = rebuilt_crystal(table, row)
        assert crystal is not None
        assert crystal.composition.reduced_formula == table.formulas[row]
    unknown = next(row for row, formula in enumerate(table.formulas) if len(elements_of(formula)) > 4)
    assert rebuilt_crystal(table, unknown) is None


def test_values_of_both_potentials_stand_in_the_list(run, optimize):
    code, _, err = optimize(
        *("verify", run, "--calculator", EMT, "--calculator-args", '{"asap_cutoff": true}'),
        *("--top", 1, "--competing-phases", 0, "--quiet"),
    )
    assert (code, err) == (0, "")
    table = pd.read_csv(run / "export" / "ranking.csv")
    assert table["verified_by"].notna().tolist() == [True] + [False] * (len(table) - 1)
    assert np.isfinite(table["verified_energy_above_hull_ev_atom"][0])
    (found,) = read_verification(run).values()
    assert (found.failure, found.candidate_id) == ("", table["id"][0])
    assert found.potential != found.first_potential
    before = sorted(path.name for path in (run / "verification").iterdir())
    again = verify_campaign(run, SECOND, top=1, threshold_ev_atom=0.05, formulas=0)
    assert list(again.values()) == [found]
    assert sorted(path.name for path in (run / "verification").iterdir()) == before


def test_what_was_verified_is_not_computed_again_after_a_stop(run, optimize, monkeypatch):
    shutil.rmtree(run / "verification", ignore_errors=True)
    (run / "verification.json").unlink(missing_ok=True)
    asked, relaxed = [], []

    def stopped_at_the_second(cascade, entry, real=verification._measured):
        asked.append(entry.candidate.id)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(cascade, entry)

    def counted(crystal, calculator, limits, real=verification.relax):
        relaxed.append(crystal)
        return real(crystal, calculator, limits)

    monkeypatch.setattr(verification, "_measured", stopped_at_the_second)
    monkeypatch.setattr(verification, "relax", counted)
    arguments = ("--calculator", EMT, "--calculator-args", '{"asap_cutoff": true}', "--top", 2)
    command = ("verify", run, *arguments, "--competing-phases", 0, "--quiet")
    code, _, err = optimize(*command)
    assert (code, err) == (3, "optimize: stopped; run the same command again to go on.\n")
    first = read_verification(run)
    assert list(first) == asked[:1]
    phases = len(relaxed)
    assert phases > 0
    assert optimize(*command)[0] == 0
    assert asked[2:] == asked[1:2]  # the second alone
    assert len(relaxed) == phases
    found = read_verification(run)
    assert found[asked[0]] == first[asked[0]]
    assert set(found) == set(asked)


def test_more_than_the_list_shows_may_be_verified(run):
    assert len(verify_campaign(run, SECOND, top=2, threshold_ev_atom=0.05, formulas=0)) == 2


def test_the_same_potential_and_one_that_cannot_be_had_are_refused(run):
    with pytest.raises(UserError, match="is the campaign's own"):
        verify_campaign(run, CalculatorParams(calculator=EMT), top=1, threshold_ev_atom=0.05)
    with pytest.raises(UserError, match="cannot be imported"):
        verify_campaign(run, CalculatorParams(calculator="no.such:One"), top=1, threshold_ev_atom=0.05)


def test_disagreement_beyond_the_threshold_is_flagged():
    def flags(second: float, failure: str = "", rebuilt: int = 3) -> tuple[str, ...]:
        values = {"energy_above_hull_ev_atom": second}
        found = Verification("1", "b", "a", 0.05, values, failure, 3, rebuilt)
        return found.flags({"energy_above_hull_ev_atom": 0.02})

    assert flags(0.06) == ()
    assert flags(0.08) == ("potentials_disagree",)
    assert flags(0.06, rebuilt=2) == ("verification_hull_incomplete",)
    assert flags(0.06, failure="exploded: it grew") == ("verification_failed",)
