"""In this process or in workers: the same outcomes, and a stop that finishes what is in hand."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import dataclass, field
from threading import Event

import pytest
from pymatgen.core import Structure

from campaigns.records import FailureCode, Measured, Property
from campaigns.search_space import SearchSpace
from campaigns.spec import KindSpec
from optimizer.cascade import Cascade, Gate, Stage
from optimizer.evaluation import Evaluator
from optimizer.executors import local
from optimizer.protocols import ExecutorContext, OracleContext

CRYSTAL = Structure([[2.8, 0, 0], [0, 2.8, 0], [0, 0, 3.7]], ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
SPECS = (KindSpec(kind="relax", calculator="ase.calculators.emt:EMT"), KindSpec(kind="volume"))
CONTEXT = OracleContext("cpu")
TASKS = [(f"c{i}", CRYSTAL.copy().scale_lattice(CRYSTAL.volume * (1 + i / 20)), i) for i in range(3)]


@pytest.fixture
def evaluator():
    def make(workers: int) -> Evaluator:
        there = local.build(local.Params(), ExecutorContext(workers))
        return Evaluator(Cascade.build(SPECS, CONTEXT, SearchSpace()), SPECS, CONTEXT, there)

    return make


def test_workers_give_what_this_process_gives(evaluator):
    with evaluator(1) as here, evaluator(2) as there:
        alone = {name: stages[-1].outcome for name, stages in here.evaluate(TASKS, Event())}
        spread = {name: stages[-1].outcome for name, stages in there.evaluate(TASKS, Event())}
    assert set(alone) == set(spread) == {"c0", "c1", "c2"}
    for name, outcome in alone.items():
        assert spread[name].values == pytest.approx(outcome.values, rel=1e-9)
        assert spread[name].crystal.matches(outcome.crystal)


def test_whoever_has_nothing_to_hand_out_yet_is_asked_again(evaluator):
    """The second task is there when the first is done; two workers would have taken both at once."""
    done: list[str] = []

    def tasks():
        yield TASKS[0]
        while not done:
            yield None
        yield TASKS[1]

    with evaluator(2) as there:
        assert not there.in_process
        assert there.places == 2
        for name, _ in there.evaluate(tasks(), Event()):
            done.append(name)
    assert done == ["c0", "c1"]


def test_after_a_stop_nothing_new_is_begun(evaluator):
    stop, done = Event(), []
    with evaluator(1) as here:
        for name, _ in here.evaluate(TASKS, stop):
            done.append(name)
            stop.set()
        assert list(here.evaluate(TASKS, stop)) == []
    assert done == ["c0"]


@dataclass(frozen=True)
class Together:
    """Notes how many crystals it was given at once."""

    given: list[int] = field(default_factory=list)
    together: int = 2
    version: str = "together-1"
    properties: tuple[Property, ...] = (Property("number", "1", ""),)
    nominal_seconds: float = 1.0

    def evaluate(self, xs, *, seed):
        self.given.append(len(xs))
        for index, crystal in reversed(list(enumerate(xs))):
            yield index, Measured({"number": crystal.volume}, crystal)


def test_an_oracle_that_takes_many_gets_them_in_this_process():
    oracle, begun = Together(), []
    tasks = [(f"c{i}", CRYSTAL.copy().scale_lattice(50.0 + i), i) for i in range(9)]
    cascade = Cascade((Stage("together", oracle),), SearchSpace())
    gates = {"c1": {"together": Gate(spent="no call is left")}}
    with Evaluator(cascade, SPECS[:1], CONTEXT, local.LocalWorkers(4, local.Params())) as evaluator:
        found = dict(evaluator.evaluate(tasks, Event(), begun.append, gates))
        assert multiprocessing.active_children() == []
    assert begun == [name for name, _, _ in tasks]
    assert oracle.given == [7, 1]  # four batches of two in hand, one of them kept out
    assert found.pop("c1")[0].outcome.code is FailureCode.STAGE_BUDGET_SPENT
    assert {name: stages[0].outcome.values["number"] for name, stages in found.items()} == pytest.approx(
        {name: crystal.volume for name, crystal, _ in tasks if name != "c1"}
    )


def test_an_oracle_that_takes_many_does_not_wait_for_what_others_have_in_hand():
    oracle = Together()
    tasks = [("c0", CRYSTAL, 0), ("c1", CRYSTAL, 1), None, ("c2", CRYSTAL, 2)]
    cascade = Cascade((Stage("together", oracle),), SearchSpace())
    with Evaluator(cascade, SPECS[:1], CONTEXT, local.LocalWorkers(1, local.Params())) as evaluator:
        assert {name for name, _ in evaluator.evaluate(tasks, Event())} == {"c0", "c1", "c2"}
    assert oracle.given == [2, 1]


def test_after_a_stop_no_further_batch_is_begun():
    oracle, stop = Together(), Event()
    tasks = [(f"c{i}", CRYSTAL, i) for i in range(9)]
    with Evaluator(
        Cascade((Stage("together", oracle),), SearchSpace()), SPECS[:1], CONTEXT, local.LocalWorkers(1, local.Params())
    ) as evaluator:
        found = []
        for name, _ in evaluator.evaluate(tasks, stop):
            stop.set()
            found.append(name)
    assert len(found) == 8
    assert oracle.given == [8]


def test_an_exception_leaves_no_worker_behind(evaluator):
    def break_off() -> None:
        with evaluator(2) as there:
            next(there.evaluate(TASKS, Event()))
            assert multiprocessing.active_children()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert multiprocessing.active_children() == []


def test_workers_compute_on_one_thread_and_the_environment_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    body = "return int(os.environ['OMP_NUM_THREADS']) + int(os.environ['MKL_NUM_THREADS'])"
    (tmp_path / "model.py").write_text(f"import os\ndef threads(crystal):\n    {body}\n")
    specs = (KindSpec(kind="python", function="model.py:threads", properties={"threads": "1"}),)
    context = OracleContext("cpu", str(tmp_path))
    there = local.build(local.Params(), ExecutorContext(2))
    with Evaluator(Cascade.build(specs, context, SearchSpace()), specs, context, there) as there:
        ((_, stages),) = there.evaluate(TASKS[:1], Event())
    assert stages[0].outcome.values == {"threads": 2.0}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ
