"""What only the local executor has: a limit of its own for one candidate."""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import Event

import pytest
import worker_deeds
from pymatgen.core import Lattice, Structure

from campaigns.records import FailureCode, first_failure
from campaigns.search_space import SearchSpace
from campaigns.spec import KindSpec
from optimizer.cascade import Cascade
from optimizer.evaluation import Evaluator
from optimizer.executors.local import LocalWorkers, Params, build
from optimizer.protocols import ExecutorContext, OracleContext, TaskLost

HANGS = """
import time

def measure(crystal):
    if len(crystal) == 2:
        time.sleep(1000)
    return crystal.volume
"""


def attended(workers: int = 1, **limits: float) -> LocalWorkers:
    return build(Params(task_seconds=0.5, **limits), ExecutorContext(workers))


def test_a_task_that_hangs_is_ended_and_the_next_one_gets_a_new_process():
    executor = attended().start(worker_deeds.start, ("hello",))
    try:
        first = executor.submit(os.getpid).result(60)
        assert first != os.getpid()
        with pytest.raises(TaskLost, match=r"not done after 0\.5 s") as lost:
            executor.submit(time.sleep, 1000).result(60)
        assert lost.value.code is FailureCode.TIMED_OUT
        assert not Path(f"/proc/{first}").exists()
        assert executor.submit(worker_deeds.what_it_started_with).result(60) == ["hello"]
        last = executor.submit(os.getpid).result(60)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
    assert not Path(f"/proc/{last}").exists()


def test_it_may_be_tried_again():
    executor = attended(attempts=2).start(worker_deeds.start, ("hello",))
    try:
        with pytest.raises(TaskLost, match="SIGKILL, 2 times") as lost:
            executor.submit(worker_deeds.die).result(60)
        assert lost.value.code is FailureCode.WORKER_DIED
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def test_the_crystal_that_hangs_fails_alone(tmp_path):
    (tmp_path / "model.py").write_text(HANGS)
    oracle = KindSpec(kind="python", function="model.py:measure", properties={"size": "angstrom^3"})
    context, space, cell = OracleContext("cpu", str(tmp_path)), SearchSpace(), Lattice.cubic(3.0)
    tasks = [(f"c{n}", Structure(cell, ["Cu"] * n, [[i / n, 0, 0] for i in range(n)]), 0) for n in (2, 1)]
    with Evaluator(Cascade.build((oracle,), context, space), (oracle,), context, attended()) as evaluator:
        found = dict(evaluator.evaluate(tasks, Event()))
    assert first_failure(found["c2"]).code is FailureCode.TIMED_OUT
    assert first_failure(found["c1"]) is None
