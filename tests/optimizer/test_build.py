"""What is refused before anything is spent."""

from __future__ import annotations

import copy

import pytest

from campaigns.errors import SpecError
from campaigns.spec import parse_spec
from campaigns.user_cache import CACHE_VARIABLE
from optimizer.build import build
from optimizer.plan import known_inside, plan
from optimizer.references import ReferenceTable

EMT = {"kind": "relax", "calculator": "ase.calculators.emt:EMT"}
GOOD = {
    "name": "good",
    "workers": 2,
    "device": "cpu",
    "space": {"elements": {"include": ["Cu", "Au", "O"], "require": ["O"]}, "n_elements": [2, 3], "n_atoms": [2, 8]},
    "oracles": [EMT, "density"],
    "objectives": {"density_g_cm3": "maximize"},
    "constraints": {"energy_ev_atom": {"max": 0.0}},
    "budget": {"oracle_calls": 60},
}


@pytest.fixture(autouse=True)
def costs_unknown(tmp_path_factory, monkeypatch):
    """What other tests' campaigns took is not to be planned with."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))


def changed(**changes):
    return parse_spec(copy.deepcopy(GOOD) | changes)


def test_a_good_campaign_is_built_and_can_be_told(tmp_path):
    parts = build(changed(), tmp_path)
    assert [stage.name for stage in parts.cascade.stages] == ["relax", "density"]
    assert parts.objective.properties == ("density_g_cm3", "energy_ev_atom")
    assert {"torch", "chgnet", "generator", "reference_table"} <= set(parts.provenance)
    lines = dict(plan(parts, tmp_path / "runs" / "good"))
    assert lines["search space"].startswith("3 elements, O required; 2 to 3 of them in a crystal; 2 to 8 atoms")
    assert lines["oracles"] == "relax: 2 s a crystal (typical of a core), budgeted"
    assert lines["goal"] == "maximize density_g_cm3, where energy_ev_atom <= 0"
    assert lines["budget"] == "60 calls of relax in batches of 8"
    assert lines["time"].startswith("about 2.3 min: 60 s in oracles with 2 workers, 80 s searching in 8 rounds")
    assert lines["writes"].startswith(str(tmp_path / "runs" / "good" / "ledger.sqlite"))
    assert parts.generator.version in lines["generator"]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"oracles": ["nowhere"]}, r"^oracles\.0\.kind: unknown 'nowhere'"),
        ({"oracles": [EMT], "objectives": {"density_g_cm3": "maximize"}}, r"^objectives\.density_g_cm3: unknown"),
        ({"constraints": {"band_gap_ev": {"min": 1}}}, r"^constraints\.band_gap_ev: unknown .*Add the oracle"),
        ({"generator": {"kind": "wyckoff_vae", "weights": "/nowhere"}}, r"^generator: weights"),
        ({"start": ["generator_samples", {"kind": "table", "path": "no.csv"}]}, r"^start\.1: path: .* does not exist"),
        ({"acquisition": {"kind": "log_nei", "no_key": 1}}, r"^acquisition\.no_key: unknown key"),
        ({"surrogate": "nowhere"}, r"^surrogate\.kind: unknown"),
        (
            {"space": {"space_groups": [227], "n_atoms": [1, 1]}},
            r"^space\.space_groups: none of 227 can hold a crystal of \[1, 1\]",
        ),
        ({"oracles": ["density", EMT]}, r"^oracles\.0: 'density' measures density_g_cm3 before 'relax' changes"),
        ({"oracles": [EMT, "density", EMT | {"max_steps": 9}]}, r"^oracles\.1: 'density' .* Put it behind oracles\.2"),
    ],
)
def test_what_cannot_finish_is_refused_by_its_path(tmp_path, changes, said):
    with pytest.raises(SpecError, match=said):
        build(changed(**changes), tmp_path)


def test_what_is_measured_again_behind_a_relaxation_may_come_before_it_too(tmp_path):
    again = [EMT | {"fmax_ev_per_ang": 0.5}, EMT, "density"]
    assert [stage.name for stage in build(changed(oracles=again), tmp_path).cascade.stages] == [
        *("relax", "relax#2"),
        "density",
    ]


def test_a_gpu_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SpecError, match=r"^device: 'cuda'"):
        build(changed(device="cuda"), tmp_path)


@pytest.mark.parametrize(
    ("space", "inside"), [({"formula": "LaBi"}, 1), ({"formula": "LaBi", "space_groups": [221]}, 0), ({}, 17284)]
)
def test_known_materials_in_a_space_are_counted(space, inside):
    everything = {"elements": {"exclude": []}, "n_atoms": [1, 200], "n_elements": [1, 20]}
    spec = changed(space=everything | space, constraints={})
    assert known_inside(spec.space, ReferenceTable.load()) == inside


def test_without_batches_workers_do_not_wait_for_the_search(tmp_path):
    run = tmp_path / "runs" / "good"  # costs are those of runs beside it, if there are any
    several, one = (dict(plan(build(changed(schedule="async", workers=n), tmp_path), run)) for n in (2, 1))
    assert several["budget"] == "60 calls of relax one by one"
    assert several["time"].startswith(
        "about 60 s in oracles with 2 workers, who do not wait for the search: 10 s a proposal"
    )
    assert one["time"].startswith("about 12 min: 2.0 min in oracles with 1 workers, 10 min searching in 60 rounds")


def test_what_takes_many_at_once_is_no_free_worker(tmp_path, monkeypatch):
    spec = changed(schedule="async", oracles=["density"], constraints={})
    monkeypatch.setattr(type(build(spec, tmp_path).cascade.stages[0].oracle), "together", 32, raising=False)
    with pytest.raises(SpecError, match=r"schedule: .*'density' takes 32 at once here.*`device: cpu`"):
        build(spec, tmp_path)


def test_a_property_measured_twice_is_told_and_refused_in_two_units(tmp_path):
    (tmp_path / "mine.py").write_text("def rho(crystal):\n    return 1000 * crystal.density\n")
    mine = {"kind": "python", "function": "mine.py:rho", "properties": {"density_g_cm3": "kg/m^3"}}
    with pytest.raises(SpecError, match=r"density measures density_g_cm3 in 'g/cm\^3', python in 'kg/m\^3'"):
        build(changed(oracles=[EMT, "density", mine]), tmp_path)
    mine["properties"] = {"density_g_cm3": "g/cm^3"}
    told = plan(build(changed(oracles=[EMT, "density", mine]), tmp_path), tmp_path / "runs")
    assert ("", "density_g_cm3 of density is replaced by that of python wherever that is entered") in told
