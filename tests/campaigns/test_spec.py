"""Campaign files: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from campaigns.errors import SpecError
from campaigns.spec import CampaignSpec, dump_spec, load_spec, parse_spec

TESTS = Path(__file__).parents[1]
VALID = sorted((TESTS / "specs" / "valid").glob("*.yaml"))
EXAMPLES = sorted((TESTS.parent / "campaigns" / "examples").glob("*.yaml"))
SHORTEST: dict[str, Any] = {
    "name": "small",
    "oracles": "relax",
    "objectives": {"energy_ev_atom": "minimize"},
    "budget": {"oracle_calls": 5},
}


@pytest.mark.parametrize("path", [*VALID, *EXAMPLES], ids=lambda path: path.stem)
def test_good_files_are_read_and_their_resolved_copy_is_the_same_campaign(path):
    spec = load_spec(path)
    assert parse_spec(yaml.safe_load(dump_spec(spec))) == spec


def _read_back(spec: CampaignSpec) -> CampaignSpec:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "campaign.yaml"
        path.write_text(dump_spec(spec), encoding="utf-8")
        return load_spec(path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_named_like_its_file(path):
    assert load_spec(path).name == path.stem


def test_short_forms_mean_what_they_stand_for():
    spec = load_spec(TESTS / "specs" / "valid" / "everything.yaml")
    assert [each.kind for each in spec.oracles] == ["relax", "bulk_modulus", "density"]
    assert spec.oracles[0].params == {"max_steps": 100}
    assert spec.objectives["density_g_cm3"].target == 5.0
    assert spec.constraints["energy_ev_atom"].max == -0.001
    assert spec.refine == "off"
    assert 3 in spec.space.n_elements
    assert 4 not in spec.space.n_elements
    assert {"Ti", "O", "No"} & spec.space.elements.allowed == {"Ti", "O"}  # nobelium is radioactive


def test_the_resolved_copy_keeps_text_that_looks_like_numbers():
    for name in ("1e3", "08", "off", "2024-01-01", "1.30"):
        spec = parse_spec({**SHORTEST, "name": name})
        assert parse_spec(yaml.safe_load(dump_spec(spec))) == spec
        assert _read_back(spec).name == name


def test_radioactive_and_noble_gases_are_left_out_by_default():
    allowed = parse_spec(SHORTEST).space.elements.allowed
    assert not allowed & {"Xe", "U", "Tc", "Pm"}
    assert {"Pb", "Bi", "O"} <= allowed


def test_a_fixed_formula_is_counted():
    spec = parse_spec({**SHORTEST, "space": {"formula": "Ti2O4"}})
    assert spec.space.formula_counts == {"Ti": 1, "O": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nam": 1}, "nam: unknown key (with value 1); the keys here are name, seed"),
        ({"seed": True}, "seed: True is not a number"),
        ({"seed": -1}, "seed: must be greater than or equal to 0 (got -1)"),
        ({"name": "a/b"}, "name: must match pattern"),
        ({"device": "gpu"}, "device: must be 'auto', 'cpu' or 'cuda' (got 'gpu')"),
        ({"budget": 5}, "budget: must hold keys and values (got 5). When to stop, like {oracle_calls: 48}"),
        ({"budget": {}}, "budget.oracle_calls: is missing. Add it"),
        ({"budget": {"oracle_calls": 5, "hours": float("nan")}}, "budget.hours: must be a finite number"),
        ({"oracles": []}, "oracles: must have at least 1 item"),
        ({"oracles": [{"max_steps": 5}]}, "oracles.0: there is no `kind` among max_steps; write {kind: NAME}"),
        ({"objectives": {}}, "objectives: must have at least 1 item"),
        (
            {"objectives": {"a": "minimize", "b": "minimize", "c": "minimize"}},
            "objectives: must have at most",
        ),
        ({"objectives": {"a": "maximise"}}, "objectives.a: 'maximise' is no goal; write `maximize`, `minimize`, or"),
        (
            {"objectives": {"a": {"goal": "target"}}},
            "objectives.a: goal 'target' does not go with target None; write `maximize`",
        ),
        ({"objectives": {"Bulk": "maximize"}}, "objectives: 'Bulk' is no property name"),
        ({"constraints": {"a": {"min": 2, "max": 1}}}, "constraints.a: min 2.0 lies above max 1.0"),
        ({"constraints": {"a": {}}}, "constraints.a: needs `min`, `max` or both"),
        ({"constraints": {"a": {"mn": 1}}}, "Did you mean 'min'?"),
        ({"refine": {"evry": 2}}, "refine.evry: unknown key (with value 2); the keys here are every"),
        ({"refine": {"every": 0}}, "refine.every: must be greater than or equal to 1 (got 0)"),
        ({"pool_size": 4}, "pool_size: 4 is smaller than batch_size 8; raise it"),
        ({"refine": {}}, "refine: has neither; give one of `every` and `stalled_rounds`"),
        ({"space": {"n_atoms": [5, 2]}}, "space.n_atoms: [5, 2] has its low end above its high end"),
        ({"space": {"n_atoms": [1, 2, 3]}}, "space.n_atoms: [1, 2, 3] must be two numbers"),
        ({"space": {"space_groups": [231]}}, "space.space_groups.0: must be less than or equal to 230"),
        ({"space": {"elements": {"include": [False]}}}, "space.elements.include.0: must be text (got False)"),
        (
            {"space": {"elements": {"include": ["U"]}}},
            "space.elements.exclude: [radioactive, noble_gas] removes all of `include` [U]",
        ),
        (
            {"space": {"elements": {"include": ["U", "O"]}}},
            "space.elements.include: U is left out by `exclude` as it is by default, [radioactive, noble_gas]; write",
        ),
        (
            {"space": {"elements": {"require": ["Xe"]}}},
            "space.elements.require: Xe is left out by `include` or `exclude`",
        ),
        ({"space": {"elements": {"require": ["O"]}, "formula": "NaCl"}}, "lacks the required O"),
        ({"space": {"n_elements": 6, "elements": {"include": ["Na", "Cl"]}}}, "only 2 are allowed"),
        ({"space": {"min_pair_distances_ang": {"OO": 2}}}, "pair 'OO' must be two element symbols joined by '-'"),
        ({"space": {"formula": "NaCl", "n_atoms": [3, 3]}}, "has 2 atoms and no multiple of that"),
        ({"space": {"formula": "Na Cl!"}}, "cannot be read as whole numbers of atoms; write it like LiFePO4"),
        ({"budget": {"oracle_call": 5}}, "budget.oracle_call: unknown key (with value 5)"),  # not: a key is missing
        ({"oracles": [None]}, "oracles.0: None is no kind; write its name, or {kind: NAME} with its parameters"),
        ({"surrogate": ["exact_gp"]}, "surrogate: ['exact_gp'] is no kind"),
        ({"oracles": None}, "oracles: must be a list (got None). What measures a crystal"),
        ({"oracles": ["relax", "volume", "relax"]}, "oracles.2: 'relax' is the same as oracles.0; take one"),
        ({"objectives": {"a": 5}}, "objectives.a: 5 is no goal; write `maximize`"),
        ({"objectives": {"a": {"targt": 5}}}, "objectives.a.targt: unknown key (with value 5)"),
        ({"constraints": {"a": 5}}, "constraints.a: 5 is no bound; write {min: NUMBER}"),
        (
            {"objectives": {"a": {"target": 300}}, "constraints": {"a": {"max": 200}}},
            "objectives.a.target: 300 lies above max 200 of constraints.a; move one of them",
        ),
        (
            {"objectives": {"a": {"target": 100}}, "constraints": {"a": {"min": 200}}},
            "objectives.a.target: 100 lies below min 200 of constraints.a",
        ),
        ({"space": {"n_atoms": "2-20"}}, "space.n_atoms: '2-20' is no range; write [low, high], or one number"),
        ({"space": {"n_atoms": [2, 4000]}}, "space.n_atoms.high: must be less than or equal to 1000 (got 4000). Atoms"),
        ({"space": {"n_elements": 5, "n_atoms": [1, 4]}}, "space.n_atoms: [1, 4] is too few for 5 different elements"),
        (
            {"space": {"n_elements": 1, "elements": {"require": ["Ti", "O"]}}},
            "space.n_elements: [1, 1] is too few for the required elements O, Ti; raise it",
        ),
        ({"space": {"space_groups": []}}, "space.space_groups: must have at least 1 item"),
        ({"space": {"space_groups": 225}}, "space.space_groups: must be a list (got 225). Write [225]. Allowed"),
        ({"space": {"elements": {"include": "O"}}}, "space.elements.include: must be a list (got 'O'). Write [O]."),
        ({"space": {"elements": {"include": ["fe"]}}}, "did you mean 'Fe'?"),
        ({"space": {"elements": {"include": ["halogens"]}}}, "did you mean 'halogen'?"),
        ({"space": {"min_pair_distances_ang": {"O-halogen": 2}}}, "pair 'O-halogen' must be two element symbols"),
        (
            {"space": {"min_distance_ang": 2, "min_pair_distances_ang": {"O-O": 1.5}}},
            "space.min_pair_distances_ang.O-O: 1.5 lies below min_distance_ang 2, which holds for every pair",
        ),
        ({"space": {"formula": "Li0.5CoO2"}}, "space.formula: 'Li0.5CoO2' cannot be read as whole numbers"),
    ],
)
def test_every_fault_names_its_path_value_and_remedy(changes, message):
    with pytest.raises(SpecError) as caught:
        parse_spec({**SHORTEST, **changes})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_long_value_is_cut_short():
    with pytest.raises(SpecError) as caught:
        parse_spec({**SHORTEST, "seed": "x" * 5000})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("given", "kind"), [({}, "log_nei"), ({"batch_size": 16}, "thompson")])
def test_large_batches_are_drawn_by_thompson_sampling_unless_said_otherwise(given, kind):
    assert parse_spec(SHORTEST | given).acquisition.kind == kind
    assert parse_spec(SHORTEST | given | {"acquisition": "random"}).acquisition.kind == "random"
