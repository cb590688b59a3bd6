"""A campaign killed with SIGKILL again and again, wherever it hurts, ends with the ledger of an undisturbed one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from tiny_campaigns import contents, emt_campaign

from campaigns.store import CampaignStore

STORE = "campaigns.store:CampaignStore"
MOMENTS = [  # in the order in which a campaign comes by; every child goes on where the last one died
    ["campaigns.database:_name", "before", 1],  # the ledger is written and has no name yet
    [f"{STORE}._heal_copy", "before", 1],  # between the ledger and the copy of the spec
    ["optimizer.starting:admit", "before", 2],  # inside the start
    [f"{STORE}.finish_phase", "before", 1],  # the start is drawn, not written
    [f"{STORE}.finish_phase", "after", 1],  # written, nothing evaluated
    ["optimizer.cascade:Cascade.evaluate", "before", 2],
    ["ase.calculators.emt:EMT.calculate", "before", 3],  # inside a relaxation
    ["optimizer.result_cache:write_durably", "after", 1],  # an answer is kept, not recorded
    [f"{STORE}.record", "before", 1],  # measured, not recorded
    [f"{STORE}.record", "after", 1],
    [f"{STORE}.finish_phase", "before", 1],  # everything of the round recorded
    ["generative.models.wyckoff_vae:WyckoffVae.align", "before", 1],  # aligning what was measured
    ["generative.models.wyckoff_vae:WyckoffVae.decode", "after", 1],  # proposing
    ["optimizer.proposal:climb", "after", 1],  # proposed, not written
    [f"{STORE}.record", "before", 2],
    ["generative.refinement:loss_terms", "before", 2],  # inside a refinement
    ["optimizer.refinement:prior_samples", "before", 2],  # judging it
    ["campaigns.artifacts:os.replace", "before", 1],  # weights half stored
    ["campaigns.artifacts:Artifacts.put", "after", 1],  # between the file and its row
    [f"{STORE}.finish_phase", "after", 1],  # the new generator is accepted
    ["optimizer.proposal:climb", "before", 1],  # with the new generator
    [f"{STORE}.record", "after", 1],
    ["generative.refinement:loss_terms", "before", 3],
    ["optimizer.export:write_formats", "before", 1],  # inside the export
    ["optimizer.swap:os.rename", "before", 1],  # the list is written and has no name yet
]


@pytest.fixture(scope="module")
def campaign():
    return emt_campaign(
        generator={"kind": "wyckoff_vae", "refine_steps": 4},
        refine={"every": 1},
        budget={"oracle_calls": 10},
        pool_size=32,
    )


def lives(moments, path: Path, folder: Path, runs: str) -> list[list[int]]:
    """[signal, exit code] of each child."""
    (folder / "moments.json").write_text(json.dumps(moments))
    program = [sys.executable, Path(__file__).with_name("mortal.py"), folder / "moments.json"]
    done = subprocess.run(
        [*program, "run", path, "--runs-dir", runs, "-q"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_killed_at_two_dozen_moments(campaign, write, tmp_path):
    path = write(campaign)
    assert lives([None], path, tmp_path, "undisturbed") == [[0, 0]]
    assert len(MOMENTS) >= 20
    deaths = lives(MOMENTS, path, tmp_path, "killed")
    survived = [moment for moment, death in zip(MOMENTS, deaths, strict=True) if death != [signal.SIGKILL, 0]]
    assert survived == []
    assert lives([None], path, tmp_path, "killed") == [[0, 0]]

    undisturbed, killed = (contents(tmp_path / runs / "emt") for runs in ("undisturbed", "killed"))
    assert killed == undisturbed
    assert len(killed["outcomes"]) == 10
    assert [accepted for _, accepted, _ in killed["generators"]] == [True] * 3  # the bundled one and two refinements
    assert len({candidate[3] for candidate in killed["candidates"]}) == 3  # each proposed something
    lists = [pd.read_csv(tmp_path / runs / "emt" / "export" / "ranking.csv") for runs in ("undisturbed", "killed")]
    pd.testing.assert_frame_equal(*(each.drop(columns="oracle_seconds") for each in lists))
    with CampaignStore.open(tmp_path / "killed" / "emt") as store:
        assert store.driver is None
    left_over = [p.name for p in (tmp_path / "killed" / "emt").rglob("*partial*")]
    assert left_over == []
