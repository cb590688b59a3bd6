"""Ledgers to report on, made through the store; whatever can hold text in them is hostile."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from campaigns.ledger import GeneratorRecord, Latent
from campaigns.records import Candidate, Failed, FailureCode, Measured, StageOutcome
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from optimizer.references import Novelty

HOSTILE = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">\'"&<b>'
CATIONS = ("Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba", "Mn", "Fe", "Ni", "Zn")
GENERATOR = "vae-1"


def salt(cation: str, anion: str, a: float) -> Structure:
    return Structure(
        Lattice([[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]]), [cation, anion], [[0] * 3, [0.5] * 3]
    )


def novelty(crystal: Structure) -> Novelty:
    return Novelty("Na" not in crystal.composition, "mp-22862 NaCl (225)", 0.25, "composition")


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "oracles": [
            "relax",
            {"kind": "python", "function": f"{HOSTILE}.py:f", "properties": {"gap_ev": HOSTILE, "width_ev": "eV"}},
        ],
        "objectives": {"gap_ev": "maximize"},
        "constraints": {"energy_above_hull_ev_atom": {"max": 0.1}},
        "budget": {"oracle_calls": 20},
    } | changes


@pytest.fixture(scope="session")
def make_ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., CampaignStore]]:
    """A new campaign with `rounds` of four candidates after a start of four; every fifth fails."""
    stores = []

    def make(rounds: int = 2, *, all_fail: bool = False, hull: float = 0.0, **changes: Any) -> CampaignStore:
        store = CampaignStore.create(
            tmp_path_factory.mktemp("run"),
            parse_spec(spec(**changes)),
            provenance={"latentore": "0.1.0", "note": HOSTILE},
        )
        stores.append(store)
        store.add_generator(GENERATOR, None, {}, accepted=True)
        for round in range(rounds + 1):
            _round(store, round, all_fail, hull)
        return store

    yield make
    for store in stores:
        store.close()


def _round(store: CampaignStore, round: int, all_fail: bool, hull: float) -> None:
    candidates = [proposal(round, n) for n in range(4)]
    figures = {"pool": {"shares": {"trust_region": 0.5 + 0.1 * round, HOSTILE: 0.5 - 0.1 * round}}}
    store.finish_phase(
        round, "propose" if round else "start", candidates=candidates, failures={"duplicate": 7}, figures=figures
    )
    for n, candidate in enumerate(candidates):
        store.record(candidate.id, _stages(candidate, 4 * round + n, all_fail, hull))
    places = {c.id: Latent(c.z or (), "relaxed") for c in candidates}
    store.add_latents(GENERATOR, places)
    store.finish_phase(round, "evaluate")
    store.event("clock", "time spent driving", hours=0.01)
    store.event("note", HOSTILE)


def proposal(round: int, n: int) -> Candidate:
    k = 4 * round + n
    crystal = salt(CATIONS[k % len(CATIONS)], "O", 4.2 + 0.1 * k)
    return Candidate(
        id=f"{round:03d}-{n:04d}",
        round=round,
        arm="trust_region" if n % 2 else HOSTILE,
        crystal=crystal,
        z=tuple(math.sin(1.0 + k * j) for j in range(1, 5)),
        generator_version=GENERATOR,
        parent=HOSTILE if n == 0 else None,
        predicted={"gap_ev": (1.0 + 0.2 * k, 0.5), "width_ev": (1.0, 0.1)} if round else {},
    )


def _stages(candidate: Candidate, k: int, all_fail: bool, hull: float) -> list[StageOutcome]:
    if all_fail or k % 5 == 4:
        return [StageOutcome("relax", HOSTILE, Failed(FailureCode.COLLAPSED, HOSTILE, 0.5))]
    details = {"n_known_phases": 3, "n_competing_phases": 1, "sparse_edges": [], "decomposes_to": [HOSTILE]}
    first = Measured({"energy_above_hull_ev_atom": hull + 0.01 * k}, candidate.crystal, ("hull_sparse",), details, 1.5)
    second = Measured(
        {"gap_ev": 1.0 + 0.25 * k, "width_ev": 1.0 + 0.05 * k}, candidate.crystal, (HOSTILE,), seconds=2.0
    )
    return [StageOutcome("relax", HOSTILE, first), StageOutcome("python", "1", second)]


@pytest.fixture(scope="session")
def searched(make_ledger: Callable[..., CampaignStore]) -> CampaignStore:
    """Twelve candidates in three rounds, a refinement, a verification."""
    store = make_ledger()
    judged = {"reconstruction": 0.8, "valid": 1.0, "unique": None}
    figures = {"before": judged, "after": judged, "surrogate_before": -1.0, "surrogate_after": None, "why": HOSTILE}
    store.finish_phase(2, "refine", figures=figures, generator=GeneratorRecord("vae-2", None, figures, False))
    found = {
        "candidate_id": "002-0003",
        "potential": HOSTILE,
        "first_potential": "first",
        "threshold_ev_atom": 0.05,
        "values": {"energy_above_hull_ev_atom": 0.4, "energy_ev_atom": -3.0},
        "failure": "",
        "wanted": 3,
        "rebuilt": 2,
    }
    Path(store.folder / "verification.json").write_text(json.dumps({"002-0003": found}))
    return store
