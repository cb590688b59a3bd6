"""What stands on the screen."""

from __future__ import annotations

from io import StringIO

import pytest
from pymatgen.core import Structure
from rich.console import Console

from campaigns.goals import Objective
from campaigns.records import Candidate, Failed, FailureCode, Measured, StageOutcome
from optimizer.live import Live
from optimizer.objective import CampaignObjective

CRYSTAL = Structure([[3, 0, 0], [0, 3, 0], [0, 0, 3]], ["W"], [[0, 0, 0]])
OBJECTIVE = CampaignObjective((("density_g_cm3", Objective(goal="maximize")),))


def candidate(number):
    return Candidate(f"001-{number:04d}", 1, "a_rather_long_name_for_an_arm", CRYSTAL, None, "g")


def measured(value):
    return (StageOutcome("density", "1", Measured({"density_g_cm3": value}, CRYSTAL)),)


FAILED = (StageOutcome("density", "1", Failed(FailureCode.ORACLE_ERROR, "")),)


def test_one_line_per_candidate_however_long(capsys):
    with Live(OBJECTIVE, 5, 0, quiet=False) as live:
        live.phase(1, "evaluating")
        live.outcome(candidate(0), measured(11.0), 1)
        live.outcome(candidate(1), FAILED, 2)
        live.outcome(candidate(2), measured(9.0), 3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "round 1: evaluating"
    assert lines[1].startswith("  1/5  001-0000 W: density_g_cm3 11; best W density_g_cm3 11; about")
    assert "failed, oracle_error; best W density_g_cm3 11; failed: oracle_error 1; about" in lines[2]
    assert "density_g_cm3 9; best W density_g_cm3 11; failed: oracle_error 1" in lines[3]
    assert len(lines) == 4


def test_who_was_kept_out_is_told_with_what_was_measured(capsys):
    kept_out = (*measured(8.0), StageOutcome("before relax", "1", Failed(FailureCode.STOPPED_BY_RULE, "")))
    with Live(OBJECTIVE, 5, 0, quiet=False) as live:
        live.outcome(candidate(0), kept_out, 1)
    assert "W: density_g_cm3 8, stopped_by_rule; best W density_g_cm3 8; about" in capsys.readouterr().out


def test_what_an_earlier_session_found_counts(capsys):
    with Live(OBJECTIVE, 5, 2, quiet=False) as live:
        live.known(candidate(0), measured(11.0))
        live.known(candidate(1), FAILED)
        assert live.best() == "best W density_g_cm3 11; failed: oracle_error 1"
        assert live.left() == ""  # nothing done in this session tells how fast it is
        live.outcome(candidate(2), measured(9.0), 3)
    assert "3/5" in capsys.readouterr().out


@pytest.mark.parametrize("terminal", [False, True])
def test_quiet_is_quiet(capsys, monkeypatch, terminal):
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    with Live(OBJECTIVE, 5, 0, quiet=True) as live:
        live.phase(0, "start")
        live.outcome(candidate(0), measured(1.0), 1)
    assert capsys.readouterr().out == ""


def test_nothing_feasible_is_said():
    assert Live(OBJECTIVE, 5, 0, quiet=True).best() == "nothing feasible yet"


def test_steps_inside_a_phase_go_to_a_terminal_only(capsys, monkeypatch):
    import sys

    from generative.progress import reported_to, tracked

    for terminal in (False, True):
        monkeypatch.setattr(sys.stdout, "isatty", lambda shown=terminal: shown)
        live = Live(OBJECTIVE, 5, 0, quiet=False)
        live.phase(2, "retraining")
        with reported_to(live.step):
            assert list(tracked("abc", "retraining", 3)) == ["a", "b", "c"]
        said = live.progress.tasks[0].description
        assert said.startswith("round 2: retraining 2/3, about 0 s left" if terminal else "round 2: retraining")
        assert ("2/3" in said) is terminal
    assert capsys.readouterr().err == ""


def test_a_round_is_told_with_its_reasons(capsys):
    figures = {
        "round": 3,
        "drawn": 10,
        "admitted": 5,
        "screened_out": {},
        "shares": None,
        "chosen": {"prior": 2},
        "trust_region": {"length": 0.4, "centers": 3, "failures": 2},
    }
    with Live(OBJECTIVE, 5, 0, quiet=False) as live:
        live.proposed(figures, (1, 4))
    assert capsys.readouterr().out == (
        "round 3: trust region 0.40 after 2 rounds without gain, around 3 crystals; chosen of 5: prior 2; "
        "1 of 4 measured are feasible\n"
    )


def test_loading_weights_says_nothing_of_the_pace(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("optimizer.tally.time.monotonic", lambda: clock[0])
    live = Live(OBJECTIVE, 5, 0, quiet=True)
    clock[0] = 100.0
    live.evaluating(0, 5)
    clock[0] = 110.0
    live.outcome(candidate(0), measured(1.0), 1)
    assert live.left() == "about 40 s left"


def test_a_narrow_terminal_shows_the_time_left_and_the_best(monkeypatch):
    live = Live(OBJECTIVE, 5, 0, quiet=False)
    live.phase(3, "choosing 8 of 382 admitted crystals, which is a long story that goes on beyond the edge")
    live.evaluating(3, 5)
    live.outcome(candidate(0), FAILED, 1)
    live.outcome(candidate(1), measured(3.25), 2)
    screen = Console(width=80, file=StringIO())
    for each in live.progress.get_renderables():
        screen.print(each)
    lines = screen.file.getvalue().splitlines()
    assert lines[0] == "round 3: evaluating 5 candidates"
    assert lines[1].startswith("2/5 calls")
    assert lines[1].rstrip().endswith("about 0 s left")
    assert lines[2] == "best W density_g_cm3 3.25; failed: oracle_error 1"
