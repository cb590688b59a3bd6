"""An oracle is not asked twice what it would answer alike; what could come out otherwise is asked again."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pymatgen.core import Structure

from campaigns.errors import UserError
from campaigns.records import Failed, FailureCode, Measured, Property
from campaigns.search_space import SearchSpace
from campaigns.spec import KindSpec
from optimizer.cascade import Cascade, Stage
from optimizer.protocols import OracleContext
from optimizer.result_cache import open_cache, remembered

COPPER = Structure([[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]], ["Cu"], [[0.1, 0, 1 / 3]])
SPEC = KindSpec(kind="counting")


@dataclass(frozen=True)
class Counting:
    """Answers what it is told to and notes what it was asked."""

    answer: object
    version: str = "counting-1"
    properties: tuple[Property, ...] = (Property("number", "1", ""),)
    nominal_seconds: float = 1.0
    repeatable: bool = True
    asked: list[Structure] = field(default_factory=list)

    def evaluate(self, xs, *, seed):
        for index, crystal in enumerate(xs):
            self.asked.append(crystal)
            yield index, self.answer(crystal)


def measured(crystal):
    larger = crystal.copy().scale_lattice(crystal.volume * 1.1)
    return Measured({"number": 1 / 3}, larger, flags=("flag",), details={"steps": 3}, seconds=5.0)


def ask(oracle, folder, crystal=COPPER, spec=SPEC):
    ((_, outcome),) = remembered(oracle, spec, folder).evaluate([crystal], seed=0)
    return outcome


def test_the_second_answer_is_the_first_to_the_last_digit(tmp_path):
    oracle = Counting(measured)
    first, second = ask(oracle, tmp_path), ask(oracle, tmp_path, COPPER.copy())
    assert len(oracle.asked) == 1
    assert second.values == first.values
    assert second.crystal == first.crystal
    assert second.crystal.lattice.matrix.tolist() == first.crystal.lattice.matrix.tolist()
    assert (second.flags, second.details) == (("flag",), {"steps": 3})
    assert 0 < second.seconds < first.seconds


def test_a_crystal_that_was_not_changed_comes_back_as_it_was_given(tmp_path):
    oracle = Counting(lambda crystal: Measured({"number": 1.0}, crystal))
    ask(oracle, tmp_path)
    again = COPPER.copy()
    assert ask(oracle, tmp_path, again).crystal is again


@pytest.mark.parametrize(
    "other",
    [
        {"oracle": Counting(measured, version="counting-2")},
        {"crystal": COPPER.copy().translate_sites([0], [1e-12, 0, 0])},
        {"spec": KindSpec(kind="counting", fmax_ev_per_ang=0.01)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_version_crystal_or_parameter_is_another_question(other, tmp_path):
    ask(Counting(measured), tmp_path)
    asked = {"oracle": Counting(measured), **other}
    ask(folder=tmp_path, **asked)
    assert len(asked["oracle"].asked) == 1


def test_only_failures_of_the_crystal_itself_are_kept(tmp_path):
    for code, times in ((FailureCode.EXPLODED, 1), (FailureCode.TIMED_OUT, 2), (FailureCode.CALCULATOR_ERROR, 2)):
        oracle = Counting(lambda crystal, code=code: Failed(code, "why", 1.0), version=f"counting {code}")
        first, second = ask(oracle, tmp_path), ask(oracle, tmp_path)
        assert (first.code, first.message) == (second.code, second.message) == (code, "why")
        assert len(oracle.asked) == times


def test_an_oracle_that_may_answer_otherwise_is_always_asked(tmp_path):
    oracle = Counting(measured, repeatable=False)
    assert remembered(oracle, SPEC, tmp_path) is oracle


@pytest.mark.parametrize("text", ["", "{", '{"answer": {}}', '{"answer": {"code": "no_such_code", "message": ""}}'])
def test_a_file_that_was_cut_off_is_written_again(text, tmp_path):
    oracle = Counting(measured)
    ask(oracle, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(text)
    assert isinstance(ask(oracle, tmp_path), Measured)
    assert len(oracle.asked) == 2
    ask(oracle, tmp_path)
    assert len(oracle.asked) == 2


def test_of_many_crystals_only_the_unknown_are_asked(tmp_path):
    oracle = Counting(measured)
    others = [COPPER.copy().scale_lattice(40.0 + n) for n in range(3)]
    ask(oracle, tmp_path, others[1])
    found = dict(remembered(oracle, SPEC, tmp_path).evaluate(others, seed=0))
    assert sorted(found) == [0, 1, 2]
    assert oracle.asked == [others[1], others[0], others[2]]
    assert all(found[n].crystal.volume == pytest.approx(others[n].volume * 1.1) for n in found)


def test_a_disordered_crystal_is_asked_about_every_time(tmp_path):
    oracle = Counting(lambda crystal: Failed(FailureCode.EXPLODED, "why"))
    disordered = Structure(COPPER.lattice, [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    ask(oracle, tmp_path, disordered)
    ask(oracle, tmp_path, disordered)
    assert len(oracle.asked) == 2


def test_what_a_killed_process_left_is_swept_and_what_another_writes_is_not(tmp_path):
    def leave(age: float) -> Path:
        file = tmp_path / ".x.json-1.partial"
        file.write_text("{")
        os.utime(file, (time.time() - age,) * 2)
        return file

    file = leave(10)
    open_cache(tmp_path, shared=True)
    assert file.exists()
    leave(7200)
    open_cache(tmp_path, shared=True)
    assert not file.exists()
    leave(10)
    open_cache(tmp_path, shared=False)
    assert not file.exists()


def test_a_folder_that_cannot_be_is_the_users_to_mend(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be used"):
        open_cache(tmp_path / "file", shared=True)


def test_a_cascade_asks_its_repeatable_oracles_once(tmp_path):
    emt = {"calculator": "ase.calculators.emt:EMT"}
    specs = (KindSpec(kind="relax", **emt), KindSpec(kind="volume"), KindSpec(kind="bulk_modulus", **emt))
    crystal = Structure(COPPER.lattice, ["Cu"], [[0, 0, 0]])
    fresh = Cascade.build(specs, OracleContext("cpu"), SearchSpace())
    first, second = (fresh.remembering(specs, tmp_path).evaluate(crystal, seed) for seed in (0, 1))
    assert len(list(tmp_path.iterdir())) == 2
    for left, right in zip(first, second, strict=True):
        assert (left.stage, left.oracle_version) == (right.stage, right.oracle_version)
        assert left.outcome.values == right.outcome.values
        assert left.outcome.crystal == right.outcome.crystal
    assert fresh.remembering(specs, None) is fresh
    assert Stage("x", remembered(Counting(measured), SPEC, tmp_path)).together == 1
