"""The contract suites notice: kinds that break one promise each fail the very tests that the real kinds pass.

The kinds stand in `broken/<role>/`, one file each, and are found by the suites without an edit, as anybody's would be.
Beside the broken ones stands a sound one of each role.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import pytest

from campaigns.kinds import GROUPS

HERE = Path(__file__).parent
PATIENCE = 600  # seconds until a test gives up on the suites

SUITES = {
    "representation": "test_representations",
    "generator": "test_generators",
    "surrogate": "test_surrogates",
    "acquisition": "test_acquisitions",
    "oracle": "test_oracles",
    "start": "test_starts",
    "executor": "test_executors",
}
NOTICED = {
    ("representation", "broken_order"): "test_length_and_order_are_kept_around_failures",
    ("representation", "broken_memory"): "test_codes_travel_between_processes",
    ("generator", "broken_dtype"): "test_latents_are_float64_on_the_cpu_in_order",
    ("generator", "broken_mask"): "test_the_space_is_a_mask",
    ("generator", "broken_refine"): "test_refining_gives_a_new_generator_and_leaves_the_old_one_as_it_was",
    ("surrogate", "broken_units"): "test_learns_and_answers_in_the_outcomes_units",
    ("surrogate", "broken_unobserved"): "test_what_was_not_observed_is_never_read",
    ("acquisition", "broken_repeats"): "test_a_batch_is_q_different_rows_and_follows_from_the_seed",
    ("acquisition", "broken_seed"): "test_a_batch_is_q_different_rows_and_follows_from_the_seed",
    ("acquisition", "broken_pending"): "test_what_is_pending_is_proposed_only_when_nothing_else_is_left",
    ("oracle", "broken_skips"): "test_an_outcome_belongs_to_its_crystal_whatever_stands_beside_it",
    ("oracle", "broken_nan"): "test_an_impossible_crystal_is_an_outcome_and_no_exception",
    (
        "oracle",
        "broken_undeclared",
    ): "test_every_crystal_gets_one_outcome_with_the_declared_properties",
    ("start", "broken_seed"): "test_the_same_seed_gives_the_same",
    ("executor", "broken_haste"): "test_building_starts_nothing",
    ("executor", "broken_silence"): "test_results_and_exceptions_come_back",
}
"""(role, kind) -> the test that must fail for it."""
SLOW = "align or refin or restored or worker or held_out"
"""Words of tests that take seconds; of them only the one that a flaw is about is run."""

Verdicts = dict[tuple[str, str], dict[str, set[str]]]  # (suite, kind) -> "passed" or "failed" -> names of tests


def _run(prefix: str, report: Path) -> tuple[int, Verdicts]:
    """Run the suites in a process that finds the kinds in `broken`: the exit status and what each kind did."""
    retrained = "sound_vae or broken_refine"
    selected = f"({prefix} and not ({SLOW})) or ({prefix} and ({retrained}) and (leaves_the_old_one or latents_are))"
    process = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "extra_kinds", "-p", "no:cacheprovider", "--tb=no"),
            *("-k", selected, f"--junitxml={report}"),
            *(str(HERE / f"{suite}.py") for suite in SUITES.values()),
        ],
        cwd=HERE.parents[1],
        env=os.environ | {"PYTHONPATH": str(HERE / "broken"), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert report.exists(), process.stdout + process.stderr
    verdicts: Verdicts = defaultdict(lambda: {"passed": set(), "failed": set()})
    for case in ElementTree.parse(report).iter("testcase"):
        test, _, parameters = case.attrib["name"].partition("[")
        kind = parameters.rstrip("]").partition("-")[0]
        if case.find("skipped") is None:
            outcome = "passed" if case.find("failure") is None and case.find("error") is None else "failed"
            verdicts[case.attrib["classname"].rpartition(".")[2], kind][outcome].add(test)
    return process.returncode, verdicts


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Verdicts]:
    return _run("broken_", tmp_path_factory.mktemp("broken") / "report.xml")


def test_every_role_has_a_sound_kind_and_every_broken_one_is_told_here():
    there = {(path.parent.name, path.stem) for path in (HERE / "broken").glob("*/*.py")}
    assert {each for each in there if each[1].startswith("broken_")} == set(NOTICED)
    assert {role for role, kind in there if kind.startswith("sound_")} == set(SUITES) == set(GROUPS)


def test_a_sound_kind_of_each_role_is_found_by_its_file_and_passes(tmp_path):
    code, verdicts = _run("sound_", tmp_path / "report.xml")
    assert {pair: tests["failed"] for pair, tests in verdicts.items() if tests["failed"]} == {}
    assert {suite for suite, _ in verdicts} == set(SUITES.values())
    assert code == pytest.ExitCode.OK


def test_broken_kinds_make_the_run_fail(broken):
    assert broken[0] == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("flaw", NOTICED, ids="-".join)
def test_the_suite_notices(flaw, broken):
    """The named test fails; what the kind does keep to still passes."""
    role, kind = flaw
    tests = broken[1][SUITES[role], kind]
    assert NOTICED[flaw] in tests["failed"]
    assert len(tests["passed"] - tests["failed"]) > 0
