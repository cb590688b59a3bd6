"""Campaign files: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from campaigns.errors import SpecError
from campaigns.spec import dump_spec, load_spec, parse_spec

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
        ({"oracles": [{"max_steps": 5}]}, "oracles.0.kind: is missing"),
        ({"objectives": {}}, "objectives: must have at least 1 item"),
        (
            {"objectives": {"a": "minimize", "b": "minimize", "c": "minimize"}},
            "objectives: must have at most",
        ),
        ({"objectives": {"a": "maximise"}}, "objectives.a.goal: must be 'maximize', 'minimize' or 'target'"),
        ({"objectives": {"a": {"goal": "target"}}}, "objectives.a: write `maximize`, `minimize`, or"),
        ({"objectives": {"Bulk": "maximize"}}, "objectives: 'Bulk' is no property name"),
        ({"constraints": {"a": {"min": 2, "max": 1}}}, "constraints.a: min 2.0 lies above max 1.0"),
        ({"constraints": {"a": {}}}, "constraints.a: needs `min`, `max` or both"),
        ({"constraints": {"a": {"mn": 1}}}, "Did you mean 'min'?"),
        ({"refine": {"evry": 2}}, "refine.evry: unknown key (with value 2); the keys here are every"),
        ({"refine": {"every": 0}}, "refine.every: must be greater than or equal to 1 (got 0)"),
        ({"pool_size": 4}, "campaign: pool_size 4 is smaller than batch_size 8"),
        ({"refine": {}}, "refine: give one of `every` and `stalled_rounds`"),
        ({"space": {"n_atoms": [5, 2]}}, "space.n_atoms: [5, 2] has its low end above its high end"),
        ({"space": {"n_atoms": [1, 2, 3]}}, "space.n_atoms: [1, 2, 3] must be two numbers"),
        ({"space": {"space_groups": [231]}}, "space.space_groups.0: must be less than or equal to 230"),
        ({"space": {"elements": {"include": [False]}}}, "put it in quotes"),
        ({"space": {"elements": {"include": ["U"]}}}, "space.elements: no element is left"),
        ({"space": {"elements": {"require": ["Xe"]}}}, "space.elements: requires Xe, which"),
        ({"space": {"elements": {"require": ["O"]}, "formula": "NaCl"}}, "lacks the required O"),
        ({"space": {"n_elements": 6, "elements": {"include": ["Na", "Cl"]}}}, "only 2 are allowed"),
        ({"space": {"min_pair_distances_ang": {"OO": 2}}}, "pair 'OO' must be two symbols joined by '-'"),
        ({"space": {"formula": "NaCl", "n_atoms": [3, 3]}}, "has 2 atoms and no multiple of that"),
        ({"space": {"formula": "Na Cl!"}}, "cannot be read; write it like LiFePO4"),
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
