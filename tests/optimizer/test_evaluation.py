"""In this process or in workers: the same outcomes, and a stop that finishes what is in hand."""

from __future__ import annotations

import multiprocessing
from threading import Event

import pytest
from pymatgen.core import Structure

from campaigns.spec import KindSpec, SearchSpace
from optimizer.cascade import Cascade
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


def test_after_a_stop_nothing_new_is_begun(evaluator):
    stop, done = Event(), []
    with evaluator(1) as here:
        for name, _ in here.evaluate(TASKS, stop):
            done.append(name)
            stop.set()
        assert list(here.evaluate(TASKS, stop)) == []
    assert done == ["c0"]


def test_an_exception_leaves_no_worker_behind(evaluator):
    def break_off() -> None:
        with evaluator(2) as there:
            next(there.evaluate(TASKS, Event()))
            assert multiprocessing.active_children()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert multiprocessing.active_children() == []
