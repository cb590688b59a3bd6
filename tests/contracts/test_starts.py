"""What every kind of start must do. A new kind inherits these tests by existing."""

from __future__ import annotations

import math
from functools import cache
from itertools import islice
from pathlib import Path

import pandas as pd
import pytest
import torch
from pymatgen.core import Structure

from campaigns.errors import SpecError
from campaigns.kinds import build_kind
from campaigns.records import Candidate, Failed, FailureCode, Measured, StageOutcome
from campaigns.search_space import SearchSpace
from campaigns.spec import KindSpec, parse_spec
from campaigns.store import CampaignStore
from generative.protocols import DecodeFailure, Generator, GeneratorContext
from optimizer.protocols import Start, StartContext, StartCrystal

ROLE = "start"
PROPERTY = "density_g_cm3"
CRYSTAL = Structure([[2.8, 0, 0], [0, 2.8, 0], [0, 0, 3.7]], ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
OTHER = Structure([[3.0, 0, 0], [0, 3.0, 0], [0, 0, 4.2]], ["Ni", "Ag"], [[0, 0, 0], [0.5, 0.5, 0.5]])
NEEDED = {
    "crystals": {"path": "seeds"},
    "generator_samples": {"n": 2},
    "ledger": {"path": "old"},
    "table": {"path": "table.csv"},
}
"""Parameters of the kinds that cannot do without. What they name holds two good crystals and a bad one."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files, a table and an older campaign."""
    place = tmp_path_factory.mktemp("start")
    (place / "seeds").mkdir()
    for name, crystal in (("a", CRYSTAL), ("c", OTHER)):
        crystal.to(filename=str(place / "seeds" / f"{name}.cif"))
    (place / "seeds" / "b.cif").write_text("no crystal")
    cifs = [CRYSTAL.to(fmt="cif"), "no crystal", OTHER.to(fmt="cif")]
    pd.DataFrame({"cif": cifs, PROPERTY: [14.8, 1.0, 7.2]}).to_csv(place / "table.csv", index=False)
    spec = parse_spec(
        {"name": "old", "oracles": ["density"], "objectives": {PROPERTY: "maximize"}, "budget": {"oracle_calls": 3}}
    )
    outcomes = [
        Measured({PROPERTY: 14.8}, CRYSTAL),
        Failed(FailureCode.ORACLE_ERROR, "broke"),
        Measured({PROPERTY: 7.2}, OTHER),
    ]
    with CampaignStore.create(place / "old", spec, provenance={}) as store:
        ids = [f"000-{i:04d}" for i in range(3)]
        candidates = [
            Candidate(name, 0, "crystals", x, None, "g") for name, x in zip(ids, (CRYSTAL, CRYSTAL, OTHER), strict=True)
        ]
        store.finish_phase(0, "start", candidates=candidates)
        for name, outcome in zip(ids, outcomes, strict=True):
            store.record(name, [StageOutcome("density", "1", outcome)])
    return place


@cache
def _generator(device: str) -> Generator:
    return build_kind("generator", KindSpec(kind="wyckoff_vae"), GeneratorContext(torch.device(device)), "generator")


def _build(kind: str, folder: Path) -> Start:
    spec = KindSpec(kind=kind, **NEEDED.get(kind, {}))
    return build_kind(ROLE, spec, StartContext(str(folder), (PROPERTY,)), "start.0")


SPACE = SearchSpace.model_validate({"elements": {"include": ["Cu", "Ag", "Au", "Ni"]}, "n_atoms": [1, 8]})


def _first(start: Start, device: str, n: int = 6, seed: int = 1) -> list[StartCrystal | DecodeFailure]:
    return list(islice(start.crystals(_generator(device), SPACE, seed=seed), n))


def _told(found: list[StartCrystal | DecodeFailure]) -> list[object]:
    """Everything a start says of each crystal, to compare."""
    return [
        each
        if isinstance(each, DecodeFailure)
        else (each.crystal, each.values, each.source, None if each.z is None else each.z.tolist())
        for each in found
    ]


def test_it_yields_crystals_or_reasons(kind, device, folder):
    generator, found = _generator(device), _first(_build(kind, folder), device)
    assert any(isinstance(each, StartCrystal) for each in found)
    for each in found:
        if isinstance(each, DecodeFailure):
            assert each.code in FailureCode
            assert each.message
            continue
        assert each.crystal.is_ordered
        assert len(each.crystal) > 0
        if each.values is not None:
            assert set(each.values) == {PROPERTY}
            assert all(isinstance(v, float) and math.isfinite(v) for v in each.values.values())
        if each.z is not None:
            assert each.z.shape == (generator.latent_dim,)
            assert each.z.dtype == torch.float64
            assert each.z.device.type == "cpu"


def test_a_bad_row_is_a_reason_and_costs_no_other(kind, folder):
    if "path" not in NEEDED.get(kind, {}):
        pytest.skip("reads no file")
    found = _first(_build(kind, folder), "cpu")
    assert [isinstance(each, DecodeFailure) for each in found] == [False, True, False]
    formulas = [found[i].crystal.composition.reduced_formula for i in (0, 2)]
    assert formulas == [x.composition.reduced_formula for x in (CRYSTAL, OTHER)]
    assert all(found[i].source for i in (0, 2))


def test_the_same_seed_gives_the_same(kind, device, folder, disturb):
    told = []
    for number in (1, 2):
        disturb(number)
        told.append(_told(_first(_build(kind, folder), device)))
    assert told[0] == told[1]


def test_asked_again_or_twice_at_once_it_begins_anew(kind, folder):
    start, generator = _build(kind, folder), _generator("cpu")
    expected = _told(_first(start, "cpu"))
    one, two = (start.crystals(generator, SPACE, seed=1) for _ in range(2))
    pairs = list(islice(zip(one, two, strict=False), len(expected)))
    assert _told([first for first, _ in pairs]) == expected
    assert _told([second for _, second in pairs]) == expected


def test_what_is_sampled_follows_from_the_seed_and_lies_in_the_space(kind, device, folder):
    found = _first(_build(kind, folder), device)
    sampled = [each for each in found if isinstance(each, StartCrystal) and each.z is not None]
    if not sampled:
        pytest.skip("samples nothing")
    again = _generator(device).decode(torch.stack([each.z for each in sampled]), within=SPACE, seed=1)
    for each, crystal in zip(sampled, again, strict=True):
        assert {element.symbol for element in each.crystal.composition.elements} <= SPACE.elements.allowed
        assert isinstance(crystal, Structure)
        assert crystal.composition == each.crystal.composition
    assert _told(found) != _told(_first(_build(kind, folder), device, seed=2))


def test_it_says_how_many_and_whether_known_materials_may_be_taken(kind, folder):
    start = _build(kind, folder)
    assert start.limit is None or start.limit > 0
    assert isinstance(start.allow_known, bool)


def test_a_missing_path_is_refused_when_the_campaign_is_built(kind, tmp_path):
    if "path" not in NEEDED.get(kind, {}):
        pytest.skip("reads no file")
    with pytest.raises(SpecError, match=r"^start\.0: path: .*nowhere.*does not exist"):
        build_kind(ROLE, KindSpec(kind=kind, path="nowhere"), StartContext(str(tmp_path), (PROPERTY,)), "start.0")
