"""Every arm that is found, on a closed form and on a small table: whoever adds one is tested here."""

from __future__ import annotations

import json
import time
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure

from benchmarks.search.arms.ablated import PLAIN_SHARES, TAKEN_AWAY
from benchmarks.search.loading import build_named, kinds
from benchmarks.search.protocols import ArmContext, TaskContext
from benchmarks.search.running import run_one
from campaigns.errors import UserError
from optimizer import proposal
from optimizer.acquisition import discovery

PRODUCT = "+pool_size=32+acquisition=random+surrogate.kind=exact_gp+surrogate.max_steps=1+descriptors=false"
QUICK = {
    "ablated": PRODUCT,
    "best_of_many": "+pool=32+trees=3",
    "fine_tuning": "+steps=1+kept=4",
    "genetic": "",
    "gp_descriptors": "+chains=8+steps=2",
    "gp_ei_box": "+raw=8+samples=8+steps=1",
    "gradient_ascent": "+networks=2+epochs=5+starts=16+steps=5",
    "latentore": PRODUCT,
    "lol_bo": "+candidates=32+anchors=2",
    "turbo": "+candidates=32",
}
"""Parameters that make an arm cheap; an arm that is not named runs as it is."""
POOL = "perovskite_pool+heat=heat+gap=gap"
CALLS = 24  # the start of 16 and one batch


@pytest.fixture(scope="module")
def closed_form(tmp_path_factory):
    return build_named("tasks", "closed_form", TaskContext(None, tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def table(closed_form, tmp_path_factory) -> Path:
    """Thirty perovskites as the generator decodes them, which spares it the search for their latents; two hits."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    drawn = [
        Structure.from_spacegroup("Pm-3m", Lattice.cubic(4.0), each, sites)
        for each in product(("Ca", "Sr", "Ba", "Na", "K"), ("Ti", "Zr", "Sn"), ("O", "F"))
    ]
    lines = []
    for i, crystal in enumerate(closed_form.generator.decode(torch.stack(closed_form.generator.encode(drawn)))):
        heat = 0.4 if i in (3, 20) else 1.0
        lines.append({"cif": crystal.to(fmt="cif"), "heat": heat, "gap": 2.0 + 0.01 * i, "material_id": i})
    path = tmp_path_factory.mktemp("table") / "perovskites.csv"
    pd.DataFrame(lines).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def started(closed_form, tmp_path_factory) -> bytes:
    """The lines of a run after its start, which is the same for every arm."""
    folder = tmp_path_factory.mktemp("started")
    run(closed_form, "random", folder, 16)
    return (folder / "run.jsonl").read_bytes()


def begin(started: bytes, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "run.jsonl").write_bytes(started)
    return folder


def run(task, arm: str, folder: Path, calls: int = CALLS, until: float | None = None, told: str = "t"):
    context = ArmContext(folder / "kept", 7, calls)
    return run_one(
        task,
        lambda: build_named("arms", arm, context),
        file=folder / "run.jsonl",
        seed=7,
        budget=calls,
        header={"task": told, "seed": 7, "budget": calls},
        until=time.monotonic() + 600 if until is None else until,
    )


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()][1:]


@pytest.mark.parametrize("arm", kinds("arms"))
def test_an_arm_spends_its_budget_on_new_crystals(arm, closed_form, started, tmp_path):
    ended = run(closed_form, arm + QUICK.get(arm, ""), begin(started, tmp_path))
    found = rows(tmp_path)
    assert (ended.how, ended.calls, len(found)) == ("budget", CALLS, CALLS)
    assert len({json.dumps(row["answer"]["crystal"]) for row in found}) == CALLS
    assert all(row["label"] != "filled" for row in found)


def test_a_part_is_taken_away_and_is_there_again_afterwards(closed_form):
    generator, objective = closed_form.generator, closed_form.objective
    z = torch.randn(4, generator.latent_dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    crystals = generator.decode(z, within=closed_form.spec.space)
    outcomes = torch.tensor([[0.5, 9.0, 0.0]], dtype=torch.float64)  # far beyond the bound, and failed
    sd = torch.full_like(outcomes, 0.1)

    def told() -> tuple[list, bool, list[float], dict[str, float]]:
        aligned = [place.steps for place in generator.align(crystals)]
        inside = all(float(bound(outcomes)) <= 0 for bound in objective.constraint_callables())
        likely = discovery.log_feasibility(outcomes, sd, objective).tolist()
        return aligned, inside, likely, proposal.arm_shares([], [], objective)

    steps, inside, likely, shares = told()
    assert any(steps)
    assert not inside
    assert likely[0] < -1
    assert min(shares.values()) > 0
    with TAKEN_AWAY["alignment"]():
        assert told() == ([0] * len(steps), inside, likely, shares)
    with TAKEN_AWAY["feasibility"]():
        assert told() == (steps, True, [0.0], shares)
    with TAKEN_AWAY["portfolio"]():
        assert told() == (steps, inside, likely, PLAIN_SHARES)
    assert told() == (steps, inside, likely, shares)


def test_a_run_goes_on_where_it_was_cut_off(closed_form, started, tmp_path):
    """In the middle of a line, with what the arm had kept of the round that was lost."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        run(closed_form, "genetic", begin(started, folder), CALLS + 8)
    lines = (cut / "run.jsonl").read_text().splitlines(keepends=True)
    (cut / "run.jsonl").write_text("".join(lines[: CALLS - 2]) + lines[CALLS - 2][:30])
    run(closed_form, "genetic", cut, CALLS + 8)

    def told(folder: Path) -> list[dict]:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows(folder)]

    assert told(cut) == told(whole)


def test_latentore_makes_its_ledger_again(table, tmp_path):
    """What it needs follows from the rows: without its folder it proposes as before."""
    arm, whole, lost = "latentore" + QUICK["latentore"], tmp_path / "whole", tmp_path / "lost"
    task = build_named("tasks", f"{POOL}+heat_at_most=5", TaskContext(table, tmp_path / "cache"))
    run(task, arm, whole, 30)
    lost.mkdir()
    lines = (whole / "run.jsonl").read_text().splitlines(keepends=True)
    (lost / "run.jsonl").write_text("".join(lines[: 1 + CALLS]))
    run(task, arm, lost, 30)
    assert len({row["answer"]["name"] for row in rows(lost)}) == 30
    assert [row["label"] for row in rows(lost)] == [row["label"] for row in rows(whole)]
    assert [row["answer"] for row in rows(lost)] == [row["answer"] for row in rows(whole)]


def test_a_run_stops_before_the_next_round(closed_form, started, tmp_path):
    begin(started, tmp_path)
    assert run(closed_form, "random", tmp_path, until=time.monotonic() - 1).how == "hours"
    assert run(closed_form, "random", tmp_path).how == "budget"


def test_a_run_under_other_conditions_is_refused(closed_form, started, tmp_path):
    begin(started, tmp_path)
    with pytest.raises(UserError, match="another task"):
        run(closed_form, "random", tmp_path, 16, told="u")


@pytest.mark.parametrize("arm", ["random", "genetic"])
def test_a_pool_charges_the_nearest_crystal_that_is_left(arm, table, tmp_path):
    task = build_named("tasks", POOL, TaskContext(table, tmp_path / "cache"))
    assert len(task.pool.names) == 30
    ended = run(task, arm + QUICK.get(arm, ""), tmp_path, 30)
    names = [row["answer"]["name"] for row in rows(tmp_path)]
    assert len(set(names)) == len(names)
    assert ended.how == "finished"
    assert set(task.hits["hits"]) <= set(names)
    assert {"3", "20"} == set(task.hits["hits"])


def test_the_start_is_the_same_for_all_and_the_optimum_can_be_reached(closed_form):
    first, again = closed_form.start(3), closed_form.start(3)
    assert [a.values for a in first] == [a.values for a in again]
    best = closed_form.value(closed_form.optimum)
    assert best["height"] == pytest.approx(1.0)
    assert best["slope"] < 0
    assert closed_form.value(closed_form.optimum - closed_form.directions[1])["height"] < 1
    assert closed_form.value(2 * closed_form.directions[1]) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [("no_such_arm", "no_such_arm"), ("turbo+candidate=5", "candidate"), ("genetic+population=1", "population")],
)
def test_a_misspelt_arm_is_named(text, says, tmp_path):
    with pytest.raises(UserError, match=says):
        build_named("arms", text, ArmContext(tmp_path, 0, 16))
