"""What `check` says a campaign will cost: measured where something like it was measured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pymatgen.core import Structure

from campaigns import store as store_module
from campaigns.places import LEDGER
from campaigns.records import Candidate, Measured, StageOutcome
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from campaigns.timings import Timings, read_timings
from optimizer.build import build
from optimizer.costs import estimated_costs
from optimizer.durations import duration
from optimizer.plan import plan

CAMPAIGN = {
    "name": "cheap",
    "workers": 2,
    "space": {"elements": {"include": ["Cu", "Au"]}, "n_elements": [1, 2], "n_atoms": [1, 4]},
    "oracles": [{"kind": "relax", "calculator": "ase.calculators.emt:EMT", "max_steps": 2}, "density"],
    "objectives": {"density_g_cm3": "maximize"},
    "budget": {"oracle_calls": 100},
}
CRYSTAL = Structure([[3, 0, 0], [0, 3, 0], [0, 0, 3]], ["Cu"], [[0, 0, 0]])


@pytest.fixture(scope="module")
def parts():
    return build(parse_spec(CAMPAIGN), Path())


def measured_campaign(folder: Path, version: str, seconds: list[float], monkeypatch) -> None:
    """A ledger in which one candidate each took so long, and proposing every round 4 seconds."""
    clock = iter(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=4 * tick) for tick in range(1000))
    monkeypatch.setattr(store_module, "now", lambda: next(clock).isoformat(timespec="seconds"))
    with CampaignStore.create(folder, parse_spec(CAMPAIGN), provenance={}) as store:
        for round, each in enumerate(seconds):
            candidate = Candidate(f"{round:03d}-0000", round, "prior", CRYSTAL, None, "v")
            store.finish_phase(round, "propose", candidates=[candidate])
            store.record(candidate.id, [StageOutcome("relax", version, Measured({"x": 1.0}, CRYSTAL, seconds=each))])
            store.finish_phase(round, "evaluate")


def test_what_the_same_oracle_took_elsewhere_counts(parts, tmp_path, monkeypatch):
    version = parts.cascade.stages[0].oracle.version
    looked_up = [0.001, 0.002]
    measured_campaign(tmp_path / "older", version, [5.0, 7.0, 9.0, *looked_up], monkeypatch)
    measured_campaign(tmp_path / "other", "another potential", [50.0] * 3, monkeypatch)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / LEDGER).write_bytes(b"no database at all")
    before = (tmp_path / "older" / LEDGER).read_bytes()
    costs = estimated_costs(parts, tmp_path / "cheap")
    assert costs.stages["relax"].seconds == 7.0
    assert costs.stages["relax"].source == f"mean of 3 in {tmp_path / 'older'}"
    assert costs.stages["density"].source == "typical of a core"
    assert costs.proposal.seconds == 4.0
    assert (tmp_path / "older" / LEDGER).read_bytes() == before
    lines = dict(plan(parts, tmp_path / "cheap"))
    # 100 calls of 7 s and a thousandth on 2 workers, 13 rounds of 4 s
    assert lines["time"].startswith("about 6.7 min: 5.8 min in oracles with 2 workers, 52 s searching in 13 rounds")


def test_a_proposal_beside_the_oracles_took_what_it_says(tmp_path, monkeypatch):
    measured_campaign(tmp_path / "older", "1", [5.0], monkeypatch)
    with CampaignStore.open(tmp_path / "older") as store:
        store.finish_phase(1, "propose", figures={"seconds": 2.5})
        store.finish_phase(2, "propose", figures={"seconds": 0.1, "pool": {"admitted": 0}})  # nothing to choose from
    assert read_timings(tmp_path / "older" / LEDGER).proposals == [2.5]


def test_retraining_the_generator_is_counted(tmp_path, monkeypatch):
    often = build(parse_spec(CAMPAIGN | {"refine": {"every": 3}}), Path())
    line = dict(plan(often, tmp_path / "cheap"))["time"]
    # 1.7 min in oracles, 13 rounds of 10 s, and every third of the 11 between the start and the last of a minute
    assert line.startswith("about 6.8 min: 1.7 min in oracles with 2 workers, 2.2 min searching")
    assert ", retraining the generator 3 times, 60 s each (typical of two cores)" in line
    measured_campaign(tmp_path / "older", "1", [5.0], monkeypatch)
    with CampaignStore.open(tmp_path / "older") as store:
        store.finish_phase(0, "refine")
    assert read_timings(tmp_path / "older" / LEDGER).refinements == [4.0]
    assert "generator 3 times, 4 s each (mean of 1 in " in dict(plan(often, tmp_path / "cheap"))["time"]
    stalled = build(parse_spec(CAMPAIGN | {"refine": {"stalled_rounds": 3}}), Path())
    assert "; retraining the generator comes on top, 4 s each" in dict(plan(stalled, tmp_path / "cheap"))["time"]


def test_without_anything_measured_the_typical_stands(parts, tmp_path):
    costs = estimated_costs(parts, tmp_path / "runs" / "cheap")
    assert (costs.stages["relax"].seconds, costs.stages["relax"].source) == (2.0, "typical of a core")


def test_oracles_are_timed_on_a_crystal_of_the_space_where_that_is_asked_for(parts, tmp_path):
    costs = estimated_costs(parts, tmp_path / "cheap", measure=True)
    assert costs.stages["relax"].seconds > 0
    assert "measured now on " in costs.stages["relax"].source
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_is_none_has_no_timings(tmp_path):
    assert read_timings(tmp_path / "none.sqlite") == Timings()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (1e-5, "0 s"),
        (0.001, "0.001 s"),
        (3.14, "3.1 s"),
        (80, "80 s"),
        (150, "2.5 min"),
        (86400, "24 h"),
        (700000, "8.1 days"),
    ],
)
def test_durations_read_well(seconds, said):
    assert duration(seconds) == said
