"""The ledger: what goes in comes out, once, whole, and for one driver at a time."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from pymatgen.core import Lattice, Structure
from sqlalchemy import delete, insert, select

from campaigns.errors import CampaignLockedError, LedgerError
from campaigns.ledger import GeneratorRecord, Latent
from campaigns.owner import Owner
from campaigns.records import Candidate, Failed, FailureCode, Measured, StageOutcome
from campaigns.spec import CampaignSpec, load_spec, parse_spec
from campaigns.store import CampaignStore
from campaigns.tables import meta, outcomes

SPEC = {
    "name": "small",
    "oracles": ["relax", "bulk_modulus"],
    "objectives": {"bulk_modulus_gpa": "maximize"},
    "budget": {"oracle_calls": 10},
}
CRYSTAL = Structure(Lattice.cubic(4.123456789012345), ["Cs", "Cl"], [[0, 0, 0], [1 / 3, 0.5, 0.1]])


def spec(**changes: object) -> CampaignSpec:
    return parse_spec({**SPEC, **changes})


def candidate(name: str, round: int = 0) -> Candidate:
    return Candidate(
        id=name,
        round=round,
        arm="log_nei",
        crystal=CRYSTAL,
        z=(1 / 3, -2.5),
        generator_version="v1",
        parent="p",
        predicted={"bulk_modulus_gpa": (1 / 7, 2.0)},
    )


def relaxed() -> StageOutcome:
    crystal = CRYSTAL.copy().scale_lattice(70.0)
    outcome = Measured({"energy_ev_atom": -3.1}, crystal, ("hull_sparse",), {"steps": 12}, 1.5)
    return StageOutcome("relax", "relax-1", outcome)


def stiffness(crystal: Structure) -> StageOutcome:
    return StageOutcome("bulk_modulus", "bm-1", Measured({"bulk_modulus_gpa": 20.0}, crystal, seconds=2.0))


@pytest.fixture
def store(tmp_path: Path, place):
    with CampaignStore.create(tmp_path / "small", spec(**place), provenance={"latentore": "0"}) as made:
        yield made


def of(store: CampaignStore, **changes: object) -> CampaignSpec:
    return spec(**{"name": store.spec.name, "ledger": store.spec.ledger, **changes})


def set_meta(store: CampaignStore, key: str, value: object) -> None:
    with store._write() as connection:
        connection.execute(delete(meta).where(meta.c.key == key))
        connection.execute(insert(meta), {"key": key, "value": value})


# -- round trips


def test_what_a_replaced_candidate_had_said_is_kept_whole(store):
    store.finish_phase(0, "start", candidates=[candidate("a")])
    store.record("a", [relaxed(), stiffness(CRYSTAL)], package_versions="chgnet 0.3")
    store.record(
        "a", [relaxed(), StageOutcome("bulk_modulus", "bm-1", Failed(FailureCode.ORACLE_ERROR, "no"))], replace=True
    )
    (event,) = (each for each in store.events() if each.kind == "replaced")
    first, second = event.data["was"]
    assert (first["details"], first["flags"], first["seconds"]) == ({"steps": 12}, ["hull_sparse"], 1.5)
    assert "lattice" in first["crystal"]
    assert second["properties"] == {"bulk_modulus_gpa": 20.0}
    with store._read() as connection:
        kept = connection.execute(select(outcomes.c.package_versions)).scalars().all()
    assert kept == ["chgnet 0.3"] * 2


def test_candidates_and_outcomes_come_back_as_they_were(store):
    proposed = [candidate("c1"), candidate("c0"), candidate("c2", round=1)]
    store.finish_phase(0, "propose", candidates=proposed[:2])
    store.finish_phase(1, "propose", candidates=proposed[2:])
    first = relaxed()
    stages = [first, stiffness(first.outcome.crystal)]
    assert store.record("c1", stages)
    failure = StageOutcome("relax", "relax-1", Failed(FailureCode.COLLAPSED, "atoms met", 0.5))
    assert store.record("c2", [failure])

    with CampaignStore.open(store.folder) as again:
        assert again.candidates() == proposed  # in the order of proposal, floats exact
        assert again.candidates(round=1) == proposed[2:]
        assert again.outcomes() == {"c1": tuple(stages), "c2": (failure,)}
        assert [each.id for each in again.pending()] == ["c0"]
        assert again.spec == of(store)
        assert again.provenance == {"latentore": "0"}


def test_what_was_evaluated_is_read_in_parts_in_the_order_of_proposal(store, monkeypatch):
    monkeypatch.setattr("campaigns.store.AT_ONCE", 2)
    store.finish_phase(0, "propose", candidates=[candidate(f"c{i}") for i in range(7)])
    told = {f"c{i}": (relaxed(),) for i in (5, 0, 4, 6)}  # c1, c2, c3 wait, c2 and c3 fill a part
    for name, stages in told.items():
        store.record(name, stages)
    proposed = {each.id: each for each in store.candidates()}
    assert list(store.evaluated()) == [(proposed[name], told[name]) for name in ("c0", "c4", "c5", "c6")]


def test_phases_latents_generators_and_events(store):
    store.finish_phase(0, "propose", candidates=[candidate("c0")], failures={FailureCode.KNOWN: 2})
    store.finish_phase(0, "screen", figures={"pool": 100})
    assert [(r.round, r.phase, r.failures, r.figures) for r in store.rounds()] == [
        (0, "propose", {"known": 2}, {}),
        (0, "screen", {}, {"pool": 100}),
    ]
    store.add_latents("v2", {"c0": Latent((1.0, 2.0), "nearest")})
    store.add_latents("v2", {"c0": Latent((1 / 3, 2.0), "relaxed")})
    assert store.latents("v2") == {"c0": Latent((1 / 3, 2.0), "relaxed")}
    assert store.latents("v1") == {}
    written = {c.id: c.z for c in store.candidates()}
    assert {c.id: c.z for c in store.candidates_to_place("v2")} == {**written, "c0": None}
    assert store.candidates_to_place("v1") == [replace(c, predicted={}) for c in store.candidates()]
    sha = store.artifacts.put(b"weights")
    assert store.add_generator("v2", sha, {"loss": 0.5}, True)
    assert not store.add_generator("v2", sha, {"loss": 0.5}, True)
    assert [(g.version, g.artifact, g.figures, g.accepted) for g in store.generators()] == [
        ("v2", sha, {"loss": 0.5}, True)
    ]
    store.event("note", "something", detail=1)
    assert [(e.kind, e.message, e.data) for e in store.events()] == [("note", "something", {"detail": 1})]


def test_a_refinement_is_written_with_its_generator_and_latents_or_not_at_all(store):
    store.finish_phase(0, "propose", candidates=[candidate("c0")])
    with pytest.raises(LedgerError, match="artifact is missing"):
        store.finish_phase(1, "refine", generator=GeneratorRecord("v2", "0" * 64, {}, True))
    record = GeneratorRecord("v2", store.artifacts.put(b"weights"), {"loss": 0.5}, accepted=True)
    stray = {"v2": {"nobody": Latent((1.0,), "proposed")}}
    with pytest.raises(ValueError, match="never proposed"):
        store.finish_phase(1, "refine", generator=record, latents=stray)
    assert (store.generators(), store.latents("v2"), store.phase_done(1, "refine")) == ([], {}, False)

    placed = {"v1": {"c0": Latent((1.0, 2.0), "proposed")}, "v2": {"c0": Latent((1 / 3, 2.0), "relaxed")}}
    assert store.finish_phase(1, "refine", figures={"accepted": True}, generator=record, latents=placed)
    assert [(g.version, g.artifact, g.figures, g.accepted) for g in store.generators()] == [
        ("v2", record.artifact, {"loss": 0.5}, True)
    ]
    assert store.generators()[0].added_at
    assert {version: store.latents(version) for version in placed} == placed

    again = GeneratorRecord("v2", record.artifact, {"loss": 0.4}, accepted=False)  # the same weights once more
    moved = {"v2": {"c0": Latent((0.5, 2.0), "nearest")}}
    assert not store.finish_phase(1, "refine", generator=again, latents=moved)
    assert store.latents("v2") == placed["v2"]
    assert store.finish_phase(2, "refine", generator=again, latents=moved)
    assert len(store.generators()) == 1
    assert store.latents("v2") == moved["v2"]


def test_a_latent_says_what_it_stands_for():
    with pytest.raises(ValueError, match="one of relaxed, proposed, nearest, not 'guessed'"):
        Latent((1.0,), "guessed")


def test_a_call_is_a_candidate_that_entered_the_dearest_stage(store):
    store.finish_phase(0, "propose", candidates=[candidate(f"c{i}") for i in range(3)])
    first = relaxed()
    store.record("c0", [first, stiffness(first.outcome.crystal)])
    store.record("c1", [first, StageOutcome("bulk_modulus", "bm-1", Failed(FailureCode.EOS_BAD_FIT, "", 3.0))])
    store.record("c2", [StageOutcome("relax", "relax-1", Failed(FailureCode.COLLAPSED, "", 0.5))])
    spent = store.spent()
    assert spent.calls == 2
    assert spent.stage_counts == {"relax": 3, "bulk_modulus": 2}
    assert spent.stage_failures == {"relax": 1, "bulk_modulus": 1}
    assert spent.stage_seconds == {"relax": 3.5, "bulk_modulus": 5.0}
    assert spent.seconds == 8.5


def test_text_of_any_length_and_kind_is_kept(store):
    long = replace(candidate("c0"), arm="a" * 100, parent="/data/" + "b" * 300, generator_version="v" * 200)
    store.finish_phase(0, "propose", candidates=[long])
    said = Failed(FailureCode.ORACLE_ERROR, "null \0 and snowman \u2603" + "x" * 9000)
    store.record("c0", [StageOutcome("s" * 90, "o" * 400, said)])
    store.event("note", "null \0", found="null \0")
    with CampaignStore.open(store.folder) as again:
        assert again.candidates() == [long]
        (stage,) = again.outcomes()["c0"]
    assert (stage.stage, stage.oracle_version) == ("s" * 90, "o" * 400)
    assert stage.outcome.message == said.message.replace("\0", "")


# -- doing things twice


def test_recording_and_finishing_twice_change_nothing(store):
    assert store.finish_phase(0, "propose", candidates=[candidate("c0")])
    assert not store.finish_phase(0, "propose", candidates=[candidate("c1")])
    assert store.phase_done(0, "propose")
    assert not store.phase_done(0, "evaluate")
    assert [each.id for each in store.candidates()] == ["c0"]
    assert store.record("c0", [relaxed()])
    assert not store.record("c0", [StageOutcome("relax", "2", Failed(FailureCode.TIMED_OUT, ""))])
    assert store.outcomes() == {"c0": (relaxed(),)}


def test_what_no_ledger_may_hold_is_refused_whole(store):
    store.finish_phase(0, "propose", candidates=[candidate("c0")])
    nan = StageOutcome("bulk_modulus", "1", Measured({"bulk_modulus_gpa": math.nan}, CRYSTAL))
    for name, stages in (("c0", [relaxed(), nan]), ("c0", []), ("nobody", [relaxed()])):
        with pytest.raises(ValueError):
            store.record(name, stages)
    with pytest.raises(ValueError, match="unique"):
        store.finish_phase(1, "propose", candidates=[candidate("c1"), candidate("c0")])
    assert store.outcomes() == {}
    assert not store.phase_done(1, "propose")
    assert len(store.candidates()) == 1


# -- creating and resuming


def test_an_existing_campaign_is_not_created_again(store):
    with pytest.raises(LedgerError, match="holds a campaign already"):
        CampaignStore.create(store.folder, of(store), provenance={})
    assert sorted(path.name for path in store.folder.iterdir() if "ledger" not in path.name) == [
        "artifacts",
        "campaign.yaml",
    ]


def test_a_folder_without_ledger_is_no_campaign_and_can_become_one(tmp_path):
    with pytest.raises(LedgerError, match="holds no campaign"):
        CampaignStore.open(tmp_path)
    (tmp_path / "campaign.yaml").write_text("left: over")
    with CampaignStore.create(tmp_path, spec(), provenance={}) as made:
        assert load_spec(tmp_path / "campaign.yaml") == made.spec


def test_a_lost_or_stale_copy_of_the_spec_is_written_anew(store):
    copy = store.folder / "campaign.yaml"
    copy.unlink()
    CampaignStore.open(store.folder).close()
    assert load_spec(copy) == of(store)


def test_more_budget_is_adopted_and_noted(store):
    more = of(store, budget={"oracle_calls": 20}, export={"top": 5})
    assert not store.adopt(of(store))
    assert store.adopt(more)
    assert store.spec == more
    assert yaml.safe_load((store.folder / "campaign.yaml").read_text())["budget"]["oracle_calls"] == 20
    assert "budget.oracle_calls: 10 -> 20" in store.events()[0].message
    with CampaignStore.open(store.folder) as again:
        assert again.spec == more


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"seed": 3}, "seed: is 3"),
        ({"space": {"n_atoms": [1, 12]}}, "space.n_atoms.1: is 12"),
        ({"oracles": ["relax"]}, "oracles: is"),
        ({"oracles": [{"kind": "relax", "max_steps": 5}, "bulk_modulus"]}, "oracles.0.max_steps: is 5"),
    ],
)
def test_another_spec_is_refused_by_its_first_difference(store, changes, path):
    with pytest.raises(LedgerError) as caught:
        store.adopt(of(store, **changes))
    assert caught.value.message.startswith(path)
    assert "another `name`" in caught.value.remedy
    assert store.spec == of(store)


def test_a_ledger_of_a_newer_schema_names_the_version_that_reads_it(store):
    set_meta(store, "schema_version", 99)
    set_meta(store, "written_by", "7.1.0")
    with pytest.raises(LedgerError, match=r"schema 99.*7\.1\.0"):
        CampaignStore.open(store.folder)
    with store._read() as connection:
        assert connection.execute(select(meta.c.value).where(meta.c.key == "schema_version")).scalar_one() == 99


def test_a_file_that_is_no_ledger_is_refused(tmp_path):
    (tmp_path / "ledger.sqlite").write_text("not a database, but long enough to be looked at as one")
    with pytest.raises(LedgerError, match="cannot be used"):
        CampaignStore.open(tmp_path)


# -- one driver at a time


def test_the_lock_names_its_holder_and_is_given_back(store):
    with CampaignStore.open(store.folder) as other:
        with store.lock():
            assert other.driver is not None
            with pytest.raises(CampaignLockedError, match=f"process {os.getpid()} on"), other.lock():
                pass
        assert other.driver is None
        with other.lock():
            pass


def test_the_lock_of_a_dead_process_heals(store):
    script = f"""
import os
from pathlib import Path
from campaigns.store import CampaignStore
store = CampaignStore.open(Path({str(store.folder)!r}))
with store.lock():
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == 9
    with store._read() as connection:
        assert connection.execute(select(meta.c.value).where(meta.c.key == "lock")).one()
    assert store.driver is None
    with store.lock():
        pass


def test_a_lock_from_another_machine_holds_until_taken_over(store):
    owner = {"pid": 1, "host": "elsewhere", "birth": "", "since": "2024-01-01T00:00:00+00:00"}
    set_meta(store, "lock", owner)
    with pytest.raises(CampaignLockedError, match="elsewhere"), store.lock():
        pass
    with store.lock(take_over=True):
        pass


def test_a_reused_pid_is_not_the_old_owner():
    me = Owner.this_process()
    assert me.may_live
    if me.birth:
        assert not Owner(me.pid, me.host, "1", me.since).may_live


# -- kills


@pytest.mark.parametrize("moment", ["finish_phase", "record"])
def test_a_kill_inside_a_transaction_leaves_nothing_half_written(store, moment):
    store.finish_phase(0, "propose", candidates=[candidate("c0")])
    script = f"""
import os
from pathlib import Path
from sqlalchemy import event
from campaigns.store import CampaignStore
from tests_store import candidate, relaxed, stiffness

store = CampaignStore.open(Path({str(store.folder)!r}))

@event.listens_for(store._engine, "after_cursor_execute")
def die(connection, cursor, statement, *rest):
    if statement.startswith("INSERT"):
        os._exit(9)

if {moment!r} == "record":
    store.record("c0", [relaxed(), stiffness(relaxed().outcome.crystal)])
else:
    store.finish_phase(1, "propose", candidates=[candidate("c1"), candidate("c2")])
"""
    source = f"import sys; sys.path.insert(0, {str(store.folder)!r})\n{script}"
    (store.folder / "tests_store.py").write_text(Path(__file__).read_text())
    assert subprocess.run([sys.executable, "-c", source]).returncode == 9
    with CampaignStore.open(store.folder) as again:
        assert [each.id for each in again.candidates()] == ["c0"]
        assert again.outcomes() == {}
        assert not again.phase_done(1, "propose")
        assert again.record("c0", [relaxed()])


def test_a_kill_while_creating_leaves_no_campaign(tmp_path):
    script = f"""
import os
from pathlib import Path
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
os.link = lambda *names: os._exit(9)
CampaignStore.create(Path({str(tmp_path)!r}), parse_spec({SPEC!r}), provenance={{}})
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == 9
    with pytest.raises(LedgerError, match="holds no campaign"):
        CampaignStore.open(tmp_path)
    CampaignStore.create(tmp_path, spec(), provenance={}).close()
    assert not list(tmp_path.glob(".ledger*"))
