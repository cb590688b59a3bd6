"""What every executor kind must do: it is a concurrent.futures.Executor, and no task is lost without a word."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, wait
from threading import Event

import pytest
import worker_deeds
from pymatgen.core import Lattice, Structure

from campaigns.kinds import build_kind
from campaigns.records import FailureCode, Measured, first_failure
from campaigns.search_space import SearchSpace
from campaigns.spec import KindSpec
from optimizer.cascade import Cascade
from optimizer.evaluation import Evaluator
from optimizer.protocols import ExecutorContext, OracleContext, TaskLost, Workers

ROLE = "executor"
SECONDS = 120
KILLS = """
import os, signal

def measure(crystal):
    if len(crystal) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return crystal.volume
"""


def _build(kind: str, workers: int = 2) -> Workers:
    return build_kind(ROLE, KindSpec(kind=kind), ExecutorContext(workers), "executor")


@pytest.fixture(scope="module")
def started() -> Iterator[Callable[[str], Executor]]:
    """One executor per kind for all tests that leave it whole."""
    running: dict[str, Executor] = {}

    def start(kind: str) -> Executor:
        if kind not in running:
            running[kind] = _build(kind).start(worker_deeds.start, ("hello",))
        return running[kind]

    yield start
    for executor in running.values():
        executor.shutdown(wait=True, cancel_futures=True)


def test_building_starts_nothing(kind):
    before = multiprocessing.active_children()
    assert _build(kind, 3).count == 3
    assert build_kind(ROLE, KindSpec(kind=kind), ExecutorContext(None), "executor").count >= 1
    assert multiprocessing.active_children() == before


def test_results_and_exceptions_come_back(kind, started):
    executor = started(kind)
    assert isinstance(executor, Executor)
    assert executor.submit(sum, [1, 2], start=3).result(SECONDS) == 6
    with pytest.raises(ArithmeticError, match="not today"):
        executor.submit(worker_deeds.fail, "not today").result(SECONDS)
    assert list(executor.map(abs, [-1, 2, -3], timeout=SECONDS)) == [1, 2, 3]


def test_a_worker_is_set_up_once_and_works_elsewhere(kind, started):
    executor = started(kind)
    for _ in range(2):
        assert executor.submit(worker_deeds.what_it_started_with).result(SECONDS) == ["hello"]
    assert executor.submit(os.getpid).result(SECONDS) != os.getpid()


def test_a_task_that_kills_its_worker_ends_with_a_word(kind):
    executor = _build(kind).start(worker_deeds.start, ("hello",))
    try:
        doomed = executor.submit(worker_deeds.die)
        assert wait([doomed], timeout=SECONDS).done
        error = doomed.exception()
        assert isinstance(error, BrokenExecutor | TaskLost)
        if isinstance(error, TaskLost):  # then the executor is whole
            assert error.code is FailureCode.WORKER_DIED
            assert "SIGKILL" in error.message
            assert executor.submit(abs, -1).result(SECONDS) == 1
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
    with pytest.raises(RuntimeError):  # of which BrokenExecutor is one
        executor.submit(abs, 1)


def test_the_crystal_that_kills_its_worker_fails_alone_and_once(kind, tmp_path):
    (tmp_path / "model.py").write_text(KILLS)
    oracle = KindSpec(kind="python", function="model.py:measure", properties={"size": "angstrom^3"})
    context, space = OracleContext("cpu", str(tmp_path)), SearchSpace()
    cell = Lattice.cubic(3.0)
    crystals = [Structure(cell, ["Cu"] * n, [[i / n, 0, 0] for i in range(n)]) for n in (1, 2, 3)]
    tasks = [(f"c{len(crystal)}", crystal, 0) for crystal in crystals]
    with Evaluator(Cascade.build((oracle,), context, space), (oracle,), context, _build(kind)) as evaluator:
        begun: list[str] = []
        found = list(evaluator.evaluate(tasks, Event(), begun.append))
    assert sorted(name for name, _ in found) == ["c1", "c2", "c3"]
    assert set(begun) == {"c1", "c2", "c3"}
    outcomes = dict(found)
    assert first_failure(outcomes["c2"]).code is FailureCode.WORKER_DIED
    for name in ("c1", "c3"):
        (stage,) = outcomes[name]
        assert isinstance(stage.outcome, Measured)
        assert stage.outcome.values == {"size": pytest.approx(27.0)}
