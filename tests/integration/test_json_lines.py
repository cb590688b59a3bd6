"""`optimize run --json-lines`: every line of standard output is an event, whoever prints besides."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tiny_campaigns import probed_campaign

from campaigns.store import CampaignStore

OPTIMIZE = Path(sys.executable).with_name("optimize")
TALKS = """
def talk_and_measure(crystal):
    print("I am an oracle that prints", flush=True)
    os.write(1, b"and not through Python alone\\n")
    if len(crystal) % 2:
        raise ValueError("odd")
    return crystal.volume / len(crystal)
"""


def events_of(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_for_a_program(write, optimize, tmp_path):
    campaign = probed_campaign("batch", budget={"oracle_calls": 6})
    campaign["oracles"][0]["function"] = "probe.py:talk_and_measure"
    path = write(campaign)
    (tmp_path / "probe.py").write_text((tmp_path / "probe.py").read_text() + TALKS)
    done = subprocess.run([OPTIMIZE, "run", path, "--json-lines"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "I am an oracle that prints" in done.stderr
    events = events_of(done.stdout)
    assert {each["event"] for each in events} == {"started", "phase", "proposed", "outcome", "finished"}
    assert all("at" in each for each in events)
    started, finished = events[0], events[-1]
    assert (started["event"], started["calls"], started["of"]) == ("started", 0, 6)
    outcomes = [each for each in events if each["event"] == "outcome"]
    assert [each["calls"] for each in outcomes] == list(range(1, 7))
    for each in outcomes:
        assert (each["state"] == "failed") == (each["code"] == "oracle_error")
        assert each["seconds_left"] is not None
    proposed = next(each for each in events if each["event"] == "proposed")
    assert proposed["why"].startswith("trust region 0.80")
    assert sum(proposed["chosen"].values()) == 3
    assert (finished["event"], finished["state"], finished["calls"]) == ("finished", "budget spent", 6)
    assert finished["best"]["formula"] == outcomes[-1]["best"]["formula"]
    assert (tmp_path / finished["export"] / "ranking.csv").is_file()
    with CampaignStore.open(tmp_path / "runs" / "batch") as store:
        assert {each["id"] for each in outcomes} == set(store.outcomes())

    code, out, _ = optimize("status", "batch", "--json")
    status = json.loads(out)
    assert code == 0
    assert (status["search"]["round"], status["seconds_left"]) == (proposed["round"], 0.0)
    code, out, _ = optimize("status", "batch")
    assert "trust region 0.80" in " ".join(out.split())


def test_what_is_wrong_with_a_file_is_still_one_line_of_standard_error(optimize, tmp_path):
    code, out, err = optimize("run", "none.yaml", "--json-lines")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1


def test_a_run_in_hand_goes_on_with_what_was_spent(write, optimize):
    path = write(probed_campaign("again", budget={"oracle_calls": 3}))
    code, out, _ = optimize("run", path, "--json-lines")
    assert (code, events_of(out)[-1]["event"]) == (0, "finished")
    write(probed_campaign("again", budget={"oracle_calls": 4}))
    code, out, _ = optimize("run", path, "--json-lines")
    events = events_of(out)
    assert (code, events[0]["calls"], events[-1]["calls"]) == (0, 3, 4)
    assert [each["round"] for each in events if each["event"] == "proposed"] == [1]
    code, out, _ = optimize("run", path, "--json-lines")
    assert [each["event"] for each in events_of(out)] == ["started", "finished"]  # nothing proposed again
