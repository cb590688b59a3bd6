"""Crystals of a user's own that may be proposed, beside what is decoded or in its place."""

from __future__ import annotations

import shutil
from itertools import product

import pytest
from pymatgen.core import Lattice, Structure

from campaigns.errors import SpecError
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from generative.progress import reported_to
from generative.representations.wyckoff import fingerprint
from optimizer.build import build
from optimizer.candidate_list import load_candidates
from optimizer.plan import plan
from optimizer.proposal import propose_phase
from optimizer.starting import start_phase

SPEC = {
    "name": "screening",
    "device": "cpu",
    "space": {"n_elements": [1, 2], "n_atoms": [1, 4]},
    "oracles": ["volume", "density"],
    "objectives": {"density_g_cm3": "maximize"},
    "surrogate": {"kind": "exact_gp", "kernel": "rbf", "max_steps": 2},
    "acquisition": "discovery",
    "constraints": {"density_g_cm3": {"min": 10}},
    "candidates": {"path": "mine", "only": True},
    "start": {"kind": "crystals", "path": "mine", "n": 3},
    "pool_size": 16,
    "batch_size": 4,
    "budget": {"oracle_calls": 20},
}
METALS = {"Cu": 3.6, "Ag": 4.1, "Au": 4.1, "Ni": 3.5}


LABI = Structure.from_spacegroup("Fm-3m", Lattice.cubic(6.6), ["La", "Bi"], [[0, 0, 0], [0.5] * 3])  # mp-22926
OXYGEN = [[0.25, 0.25, 0.25], [0.75, 0.75, 0.25], [0.75, 0.25, 0.75], [0.25, 0.75, 0.75]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six ordered alloys, one of them twice, LaBi, which is known, a crystal outside and a broken file."""
    place = tmp_path_factory.mktemp("folder")
    (place / "mine").mkdir()
    for a, b in product(METALS, METALS):
        if a < b:
            cell = Lattice.tetragonal(2.6, (METALS[a] + METALS[b]) / 2)
            Structure(cell, [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(str(place / "mine" / f"{a}{b}.cif"))
    shifted = Structure(Lattice.tetragonal(2.6, 3.85), ["Ag", "Cu"], [[0.1, 0, 0], [0.6, 0.5, 0.5]])
    shifted.to(str(place / "mine" / "again.cif"))
    LABI.to(str(place / "mine" / "LaBi.cif"))
    large = Structure(Lattice.cubic(5), ["Cu"] * 2 + ["O"] * 4, [[0, 0, 0], [0.5] * 3, *OXYGEN])
    large.to(str(place / "mine" / "outside.cif"))
    (place / "mine" / "broken.cif").write_text("data_nothing")
    return place


def test_reading_a_list_tells_how_far_it_has_come(folder, tmp_path):
    shutil.copytree(folder / "mine", tmp_path / "mine")
    told = []
    with reported_to(lambda what, done, total: told.append((what, done, total))):
        load_candidates(parse_spec(SPEC), tmp_path)
    assert told == [("reading the list", done, 10) for done in range(10)]


def session(parts, place):
    return CampaignStore.create(place / "run", parts.spec, provenance={})


def measure(parts, store):
    for candidate in store.pending():
        store.record(candidate.id, parts.cascade.evaluate(candidate.crystal, 0))


def silent(text):
    pass


def test_nothing_but_the_list_is_proposed_each_crystal_once(folder, tmp_path):
    parts = build(parse_spec(SPEC), folder)
    with session(parts, tmp_path) as store:
        start_phase(parts, store, silent)
        measure(parts, store)
        rounds = []
        for number in (1, 2):
            rounds.append(propose_phase(parts, store, number, 4, silent))
            measure(parts, store)
        proposed = store.candidates()
        marks = [fingerprint(each.crystal) for each in proposed]
        assert len(marks) == len(set(marks))
        assert set(marks) <= set(parts.listed.fingerprints)
        assert sum(rounds) >= 3
        assert all("La" not in each.crystal.composition for each in proposed if each.round)  # known
        assert {each.arm for each in proposed if each.round} == {"list"}
        (first,) = [each for each in proposed if each.id == "001-0000"]
        assert first.predicted["density_g_cm3"][1] > 0
        assert first.z == pytest.approx(parts.generator.encode([first.crystal])[0].tolist(), abs=1e-5)
        assert propose_phase(parts, store, 3, 4, silent) == 0  # all were measured
        made = [r for r in store.rounds() if r.phase == "propose"]
        assert made[0].figures["pool"]["drawn"] == len(parts.listed.crystals)
        assert not any(r.failures for r in made)  # what is passed over is told once, by `check`


def test_listed_crystals_compete_with_decoded_ones(folder, tmp_path):
    parts = build(parse_spec({**SPEC, "candidates": "mine", "acquisition": "random"}), folder)
    with session(parts, tmp_path) as store:
        start_phase(parts, store, silent)
        measure(parts, store)
        propose_phase(parts, store, 1, 4, silent)
        (figures,) = [r.figures for r in store.rounds() if r.phase == "propose"]
    arms = figures["pool"]["arms"]
    assert arms["list"] <= 6
    assert set(arms) > {"list"}
    assert figures["pool"]["drawn"] == 16 + len(parts.listed.crystals)


def test_the_plan_says_what_is_left_of_the_list_and_why(folder):
    lines = dict(plan(build(parse_spec(SPEC), folder), folder / "runs"))
    assert lines["candidates"].startswith("6 of a list, nothing else (passed over: ")
    for code in ("duplicate 1", "known 1", "outside_space 1", "decode_invalid 1"):
        assert code in lines["candidates"]
    beside = dict(plan(build(parse_spec({**SPEC, "candidates": "mine", "propose_known": True}), folder), folder))
    assert beside["candidates"].startswith("7 of a list, beside what is decoded")


def test_a_list_that_leaves_nothing_is_refused(folder):
    narrow = {**SPEC, "space": {"elements": {"include": ["Fe"]}, "n_elements": [1, 2], "n_atoms": [1, 4]}}
    with pytest.raises(SpecError, match=r"^candidates: none of its crystals may be proposed: outside_space 8.*Widen"):
        build(parse_spec(narrow), folder)
    with pytest.raises(SpecError, match=r"^candidates: path: .*nowhere.* does not exist"):
        build(parse_spec({**SPEC, "candidates": "nowhere", "start": "generator_samples"}), folder)


def test_what_only_a_list_gives_starts_with_it():
    spec = parse_spec({key: SPEC[key] for key in SPEC if key != "start"})
    assert [each.model_dump() for each in spec.start] == [{"kind": "crystals", "path": "mine", "n": 16}]
    assert parse_spec(spec.model_dump(mode="json")) == spec
