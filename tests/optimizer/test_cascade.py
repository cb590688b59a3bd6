"""Stages in order, failures as values, and the search space after every change of the crystal."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from pymatgen.core import Structure

from campaigns.errors import SpecError
from campaigns.records import Failed, FailureCode, Measured, Property
from campaigns.search_space import SearchSpace
from campaigns.spec import KindSpec
from optimizer.cascade import SPACE, Cascade, CascadeTask, Stage
from optimizer.protocols import OracleContext

CRYSTAL = Structure([[2.8, 0, 0], [0, 2.8, 0], [0, 0, 3.7]], ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
CONTEXT = OracleContext("cpu")


@dataclass(frozen=True)
class Answering:
    """An oracle that does what it is told to."""

    answer: object
    nominal_seconds: float = 1.0
    version: str = "test-1"
    properties: tuple[Property, ...] = (Property("number", "1", ""),)

    def evaluate(self, xs, *, seed):
        for index, crystal in enumerate(xs):
            if self.answer is not None:
                yield index, self.answer(crystal)


def outcomes(*answers, space=SearchSpace()):
    stages = tuple(Stage(f"s{i}", Answering(answer)) for i, answer in enumerate(answers))
    return [(s.stage, s.outcome) for s in Cascade(stages, space).evaluate(CRYSTAL, seed=0)]


def good(crystal):
    return Measured({"number": 1.0}, crystal)


def stretched(factor):
    return lambda crystal: Measured({"number": 1.0}, crystal.copy().scale_lattice(crystal.volume * factor**3))


def raises(crystal):
    raise RuntimeError("out of luck")


def test_each_stage_sees_what_the_one_before_returned():
    (_, first), (_, second) = outcomes(stretched(1.1), good)
    assert second.crystal is first.crystal
    assert first.crystal.volume == pytest.approx(1.1**3 * CRYSTAL.volume)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (raises, FailureCode.ORACLE_ERROR),
        (None, FailureCode.ORACLE_ERROR),
        (lambda crystal: Measured({"number": float("nan")}, crystal), FailureCode.INVALID_VALUE),
        (lambda crystal: Measured({"other": 1.0}, crystal), FailureCode.INVALID_VALUE),
        (lambda crystal: Failed(FailureCode.EXPLODED, ""), FailureCode.EXPLODED),
    ],
)
def test_whatever_goes_wrong_is_a_failure_with_its_seconds_and_ends_there(answer, code):
    found = outcomes(good, answer, good)
    assert [name for name, _ in found] == ["s0", "s1"]
    assert found[1][1].code is code
    assert found[1][1].seconds > 0


def test_a_crystal_that_left_the_search_space_ends_at_the_stage_space():
    found = outcomes(stretched(0.5), good, space=SearchSpace(min_distance_ang=2.0))
    assert [name for name, _ in found] == ["s0", SPACE]
    assert isinstance(found[0][1], Measured)
    assert found[1][1].code is FailureCode.TOO_CLOSE


def test_a_crystal_that_no_stage_changed_is_not_screened_again():
    """Labelled and seed crystals were judged when they were taken."""
    assert [name for name, _ in outcomes(good, space=SearchSpace(formula="NaCl"))] == ["s0"]


@dataclass(frozen=True)
class Hungry:
    """Takes all crystals at once, drops the first, fails the second, breaks off before the last."""

    together: int = 8
    nominal_seconds: float = 1.0
    version: str = "hungry-1"
    properties: tuple[Property, ...] = (Property("number", "1", ""),)

    def evaluate(self, xs, *, seed):
        yield 1, Failed(FailureCode.EXPLODED, "gone")
        for index in range(2, len(xs) - 1):
            yield index, Measured({"number": float(index)}, xs[index])
        raise RuntimeError("out of luck")


def test_an_oracle_that_takes_many_answers_for_each():
    tasks = [CascadeTask(CRYSTAL, seed) for seed in range(5)]
    cascade = Cascade(
        (Stage("s0", Answering(good)), Stage("s1", Hungry()), Stage("s2", Answering(good))), SearchSpace()
    )
    assert cascade.together == 8
    found = dict(cascade.evaluate_together(tasks))
    last = {index: (len(stages), stages[-1].stage, stages[-1].outcome) for index, stages in found.items()}
    assert [last[index][:2] for index in range(5)] == [(2, "s1"), (2, "s1"), (3, "s2"), (3, "s2"), (2, "s1")]
    codes = [last[index][2].code for index in (0, 1, 4)]
    assert codes == [FailureCode.ORACLE_ERROR, FailureCode.EXPLODED, FailureCode.ORACLE_ERROR]
    assert list(cascade.evaluate_together([])) == []


def test_stages_of_one_kind_get_names_of_their_own_and_the_dearest_is_budgeted():
    emt = {"calculator": "ase.calculators.emt:EMT"}
    specs = [KindSpec(kind="volume"), KindSpec(kind="relax", **emt), KindSpec(kind="relax", **emt)]
    cascade = Cascade.build(specs, CONTEXT, SearchSpace())
    assert [stage.name for stage in cascade.stages] == ["volume", "relax", "relax#2"]
    assert cascade.dearest == "relax"
    assert [p.name for p in cascade.properties] == ["volume_ang3_atom", "energy_ev_atom"]
    assert cascade.nominal_seconds == pytest.approx(sum(s.oracle.nominal_seconds for s in cascade.stages))


def test_an_oracle_that_cannot_be_built_is_named_by_its_path():
    with pytest.raises(SpecError, match=r"^oracles\.1"):
        Cascade.build([KindSpec(kind="volume"), KindSpec(kind="relax", calculator="nowhere")], CONTEXT, SearchSpace())
