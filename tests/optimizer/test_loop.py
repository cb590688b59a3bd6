"""Driving a campaign from Python. What a person meets on the command line is tested in tests/integration."""

from __future__ import annotations

import signal
from threading import Thread

import pytest
from pymatgen.core import Lattice, Structure
from small_campaign import SMALL, run_small

from campaigns.errors import LedgerError, UserError
from campaigns.records import Candidate, Measured, StageOutcome, last_uncertainties
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from optimizer.status import failures_by_stage, hours_spent

FEW = {
    "start": [{"kind": "generator_samples", "n": 2}],
    "oracles": ["density"],
    "budget": {"oracle_calls": 3},
}
SPEC = SMALL | FEW


def run(folder, **changes):
    return run_small(folder, **(SPEC | changes))


def test_the_budget_is_spent_to_the_call_and_the_time_is_noted(tmp_path):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with CampaignStore.open(run(tmp_path)) as store:
        assert store.spent().calls == 3  # 2 of the start, then a batch cut to the one call left
        assert [len(store.candidates(n)) for n in (0, 1, 2)] == [2, 1, 0]
        assert store.pending() == []
        phases = [(r.round, r.phase) for r in store.rounds()]
        assert phases == [(0, "start"), (0, "evaluate"), (1, "propose"), (1, "evaluate")]
        assert 0 < hours_spent(store) < 0.1
        assert store.driver is None
        assert all(stage != "density" for stage in failures_by_stage(store))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_it_runs_beside_the_main_thread(tmp_path):
    thread = Thread(target=run, args=(tmp_path,))
    thread.start()
    thread.join()
    with CampaignStore.open(tmp_path / "run") as store:
        assert store.spent().calls == 3


def test_another_generator_is_refused(tmp_path):
    """Its latents would mean something else."""
    with CampaignStore.create(tmp_path / "run", parse_spec(SPEC), provenance={}) as store:
        store.add_generator("wyckoff_vae-of-old", None, {}, accepted=True)
    with pytest.raises(UserError, match=r"wyckoff_vae-of-old.*start: \{kind: ledger"):
        run(tmp_path)


def test_an_oracle_whose_file_was_changed_is_refused(tmp_path):
    """Its values and those of before would be taken for the same thing."""
    function = tmp_path / "my_model.py"
    function.write_text("def sites(crystal):\n    return len(crystal)\n")
    oracles = [{"kind": "python", "function": "my_model.py:sites", "properties": {"sites": "1"}}]
    asked = {"oracles": oracles, "objectives": {"sites": "maximize"}}
    run(tmp_path, **asked)
    more = {**asked, "budget": {"oracle_calls": 5}}
    function.write_text("def sites(crystal):\n    return 1000 * len(crystal)\n")
    with pytest.raises(
        LedgerError, match=r"python: is 'python-.*' now, but the campaign in .*run has values of 'python-"
    ):
        run(tmp_path, **more)
    with CampaignStore.open(tmp_path / "run") as store:
        assert (store.spent().calls, store.spec.budget.oracle_calls, store.driver) == (3, 3, None)
    function.write_text("def sites(crystal):\n    return len(crystal)\n")
    with CampaignStore.open(run(tmp_path, **more)) as store:
        assert store.spent().calls == 5


def test_values_of_an_older_campaign_keep_their_flags(tmp_path):
    crystal = Structure(Lattice.cubic(3.9), ["Cs"], [[0, 0, 0]])
    with CampaignStore.create(tmp_path / "older", parse_spec(SPEC | {"name": "older"}), provenance={}) as store:
        store.finish_phase(0, "start", candidates=[Candidate("000-0000", 0, "x", crystal, None, "g")])
        stated = {"uncertainties": {"density_g_cm3": 0.2}}
        guessed = Measured({"density_g_cm3": 3.7}, crystal, flags=("predicted",), details=stated)
        store.record("000-0000", [StageOutcome("density", "density-1", guessed)])
    with CampaignStore.open(run(tmp_path, start=[{"kind": "ledger", "path": "older"}])) as store:
        (stages,) = [stages for stages in store.outcomes().values() if stages[0].stage == "given"]
    assert stages[0].outcome.flags == ("predicted", "given_value")
    assert last_uncertainties(stages) == {"density_g_cm3": 0.2}


def test_another_campaign_in_the_folder_is_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(LedgerError, match="objectives"):
        run(tmp_path, objectives={"density_g_cm3": "minimize"})


def test_a_list_that_is_used_up_ends_the_campaign_and_says_so(tmp_path):
    (tmp_path / "mine").mkdir()
    for other in ("Ag", "Au", "Ni"):
        cell = Lattice.tetragonal(2.6, 3.8)
        Structure(cell, ["Cu", other], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(str(tmp_path / "mine" / f"{other}.cif"))
    start = {"kind": "crystals", "path": "mine", "n": 2}
    folder = run(tmp_path, candidates={"path": "mine", "only": True}, start=[start], budget={"oracle_calls": 9})
    with CampaignStore.open(folder) as store:
        assert store.spent().calls == 3
        (said,) = (e.message for e in store.events() if e.kind == "starved")
    assert said == "gave up: 3 rounds in a row brought no call of density. nothing was left to propose"


def test_a_campaign_that_gave_up_goes_on_when_its_list_has_grown(tmp_path):
    def grown_by(*others: str) -> int:
        (tmp_path / "mine").mkdir(exist_ok=True)
        for other in others:
            cell = Lattice.tetragonal(2.6, 3.8)
            Structure(cell, ["Cu", other], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(str(tmp_path / "mine" / f"{other}.cif"))
        start = {"kind": "crystals", "path": "mine", "n": 2}
        folder = run(tmp_path, candidates={"path": "mine", "only": True}, start=[start], budget={"oracle_calls": 9})
        with CampaignStore.open(folder) as store:
            return store.spent().calls

    assert [grown_by("Ag", "Au", "Ni"), grown_by(), grown_by("Pd"), grown_by("Pt")] == [3, 3, 4, 5]
