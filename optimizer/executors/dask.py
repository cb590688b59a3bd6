"""Workers of dask: started here, on Slurm, or those of a scheduler that runs already. Needs the extra `dask`.

Each worker attends a process of one thread that does the work (optimizer/task_process.py): it ends a task after
`task_seconds`, and a process that dies takes no worker along. A task whose process died or hung is tried on another
worker; dask itself moves the tasks of a worker that is gone. What fails `attempts` times is given up and counted once.
"""

from __future__ import annotations

import logging
import pickle
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from threading import Lock, current_thread, main_thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic import Field, model_validator

from campaigns.errors import UserError
from campaigns.records import FailureCode
from campaigns.spec import Strict
from campaigns.workers import cores, interrupts_held_back
from optimizer.attending import CODES, result_of
from optimizer.task_process import Answer, attend, end_attended

if TYPE_CHECKING:
    from optimizer.protocols import ExecutorContext

CONNECT_SECONDS = 15
FIRST_WORKER_SECONDS = 60.0
IN_QUEUE_SECONDS = 24 * 3600.0
JOBS_COUNTED_SECONDS = 30.0


class Slurm(Strict):
    """Jobs of one worker each, submitted through dask-jobqueue while the campaign runs."""

    jobs: int = Field(ge=1, le=10_000, description="How many jobs; each is a worker.")
    memory: str = Field("4GB", description="Memory of a job, like 4GB.")
    walltime: str = Field("24:00:00", description="After which Slurm ends a job, hours:minutes:seconds.")
    cores: int = Field(1, ge=1, description="Cores of a job; oracles use one.")
    queue: str | None = Field(None, description="Partition.")
    account: str | None = Field(None, description="Account to charge.")
    directives: tuple[str, ...] = Field((), description="Further lines for #SBATCH, like --gres=gpu:1.")
    prologue: tuple[str, ...] = Field((), description="Shell lines before the worker starts, like `module load ...`.")
    interface: str | None = Field(None, description="Network interface that nodes and this machine share, like ib0.")


class Params(Strict):
    """Where the workers are, and what a task may take. Without `address` and `slurm` they are started here."""

    address: str | None = Field(None, description="A scheduler that runs, like tcp://node1:8786.")
    slurm: Slurm | None = Field(None, description="Start workers as Slurm jobs, like {jobs: 8, queue: cpu}.")
    task_seconds: float = Field(
        3600.0, gt=0, allow_inf_nan=False, description="Most seconds for one candidate, counted where it is computed."
    )
    attempts: int = Field(2, ge=1, le=10, description="How often a candidate is tried whose process dies or hangs.")
    memory_gib: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Address space of one process in GiB; no limit where absent."
    )

    @model_validator(mode="after")
    def _one_place(self) -> Params:
        if self.address is not None and self.slurm is not None:
            raise ValueError("has both `address` and `slurm`; keep one of them")
        return self


@dataclass(frozen=True)
class DaskWorkers:
    params: Params
    count: int

    def start(self, initializer: Callable[..., None], initargs: tuple[Any, ...]) -> Executor:
        """Connect, or start a cluster. Raises UserError where no worker comes."""
        from distributed import Client

        cluster: Any = None
        try:
            with _quiet(), interrupts_held_back():
                if self.params.address is None:
                    cluster = _local_cluster(self) if self.params.slurm is None else slurm_cluster(self.params.slurm)
                where = self.params.address if cluster is None else cluster
                client = Client(where, timeout=CONNECT_SECONDS, set_as_default=False)
                if self.params.slurm is not None:
                    _keep_jobs(cluster, self.params.slurm.jobs)
                elif cluster is not None:
                    client.register_plugin(_interrupts_ignored_by_workers())
            with _quiet():  # a second Ctrl-C ends the waiting
                client.wait_for_workers(1, timeout=IN_QUEUE_SECONDS if self.params.slurm else FIRST_WORKER_SECONDS)
        except (OSError, TimeoutError) as error:
            if cluster is not None:
                cluster.close()
            place = self.params.address or "the cluster started for this campaign"
            raise UserError(f"executor: no worker at {place} ({error}).", "Start workers and run again.") from None
        return DaskExecutor(client, cluster, pickle.dumps((initializer, initargs)), self.params)


class DaskExecutor(Executor):
    """Futures end with a result, the task's own exception, or TaskLost; BrokenExecutor where the scheduler is gone."""

    def __init__(self, client: Any, cluster: Any, setup: bytes, params: Params) -> None:
        self._client, self._cluster, self._setup, self._params = client, cluster, setup, params
        self._open: dict[Future[Any], Any] = {}  # ours -> dask's
        self._lock, self._closed = Lock(), False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self._client.status != "running":
            raise BrokenExecutor("the connection to the dask scheduler is lost")
        future: Future[Any] = Future()
        self._send(future, pickle.dumps((fn, args, kwargs)), ())
        return future

    def _send(self, future: Future[Any], task: bytes, failed_on: tuple[str, ...]) -> None:
        """Hand the task to dask, away from the workers on which it failed where there are others."""
        others = [each for each in self._client.nthreads() if each not in failed_on] if failed_on else []
        there = self._client.submit(
            _attended,
            *(self._setup, task, self._params.task_seconds, self._params.memory_gib),
            key=f"latentore-{uuid4()}",
            workers=others or None,
            allow_other_workers=bool(others),
            pure=False,
        )
        with self._lock:
            self._open[future] = there
        there.add_done_callback(partial(self._done, future, task, failed_on))

    def _done(self, future: Future[Any], task: bytes, failed_on: tuple[str, ...], there: Any) -> None:
        from distributed import KilledWorker
        from distributed.comm import CommClosedError

        try:
            worker, answer = there.result()
            if answer.status in CODES and len(failed_on) + 1 < self._params.attempts and not self._closed:
                self._send(future, task, (*failed_on, worker))
                return
            result = result_of(answer, len(failed_on) + 1)
            if not future.cancelled():
                future.set_result(result)
        except KilledWorker as error:
            _fail(future, _lost(FailureCode.WORKER_DIED, f"{error.allowed_failures + 1} workers died on this crystal"))
        except (CancelledError, CommClosedError, OSError) as error:
            _fail(future, BrokenExecutor(f"the connection to the dask scheduler is lost ({error})"))
        except Exception as error:
            _fail(future, error)
        with self._lock:
            self._open.pop(future, None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the processes made for this executor; a scheduler that was there before, and its workers, stay."""
        if self._closed:
            return
        if wait and not cancel_futures:
            while self._open and self._client.status == "running":
                time.sleep(0.02)
        self._closed = True
        with self._lock:
            left, self._open = dict(self._open), {}
        with _quiet():
            for ours, there in left.items():
                ours.cancel()
                there.cancel(force=True)
            if self._client.status == "running":  # what hangs would hold up the workers' end, or outlive it
                self._client.run(end_attended, setup=self._setup, on_error="ignore")
            self._client.close()
            if self._cluster is not None:
                self._cluster.close()


def _attended(setup: bytes, task: bytes, seconds: float, memory_gib: float | None) -> tuple[str, Answer]:
    """Runs in a worker of dask: its address, and the answer of the process it attends."""
    from distributed import get_worker

    return get_worker().address, attend(setup, task, seconds, memory_gib)


def _fail(future: Future[Any], error: BaseException) -> None:
    if not future.cancelled():
        future.set_exception(error)


def _lost(code: FailureCode, message: str, seconds: float = 0.0) -> Exception:
    from optimizer.protocols import TaskLost

    return TaskLost(code, message, seconds)


@contextmanager
def _quiet() -> Iterator[None]:
    """Workers that come and go are part of the plan; dask's log tells of each."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _interrupts_ignored_by_workers() -> Any:
    """A terminal sends Ctrl-C to the workers started here too, and to those that come back."""
    from distributed import WorkerPlugin

    class IgnoreInterrupts(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            if current_thread() is main_thread():
                signal.signal(signal.SIGINT, signal.SIG_IGN)

    return IgnoreInterrupts()


def _local_cluster(workers: DaskWorkers) -> Any:
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers.count,
        threads_per_worker=1,
        processes=True,
        memory_limit=0,  # what needs memory is the attended process
        dashboard_address="127.0.0.1:0",  # nobody looks; a fixed port may be taken
        silence_logs=logging.CRITICAL,
        scheduler_kwargs={"allowed_failures": workers.params.attempts - 1},
    )


def slurm_cluster(slurm: Slurm) -> Any:
    """A dask_jobqueue.SLURMCluster without jobs yet."""
    from dask_jobqueue import SLURMCluster

    return SLURMCluster(
        cores=1,  # of dask: one task at a time
        processes=1,
        job_cpu=slurm.cores,
        memory=slurm.memory,
        walltime=slurm.walltime,
        queue=slurm.queue,
        account=slurm.account,
        interface=slurm.interface,
        scheduler_options={"dashboard_address": ":0"},
        job_extra_directives=list(slurm.directives),
        job_script_prologue=list(slurm.prologue),
        worker_extra_args=["--memory-limit", "0"],
        python=sys.executable,
    )


def _keep_jobs(cluster: Any, jobs: int) -> None:
    """Submit them, and again each that Slurm ends, at its walltime or with its node.

    By itself a cluster of dask-jobqueue submits each once (its issue 122). A job whose worker never came is not
    submitted again: what is wrong with it would be wrong with the next.
    """
    from distributed.core import Status

    def keep() -> None:
        if cluster.status not in (Status.closing, Status.closed):
            cluster.scale(jobs=jobs)
            cluster.loop.call_later(JOBS_COUNTED_SECONDS, keep)

    cluster.loop.add_callback(keep)


def build(params: Params, context: ExecutorContext) -> DaskWorkers:
    """Raises ValueError where dask is not installed, the scheduler does not answer or has workers with another
    latentore, or there is no `sbatch`.
    """
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise ValueError(f"'dask' needs packages that are missing ({error}): pip install 'latentore[dask]'") from None
    if params.address is not None:
        there = _workers_at(params.address)
        return DaskWorkers(params, context.workers or max(1, there))
    if params.slurm is not None:
        if shutil.which("sbatch") is None:
            raise ValueError("slurm: there is no `sbatch` here; run where jobs are submitted")
        return DaskWorkers(params, params.slurm.jobs)
    return DaskWorkers(params, context.workers or cores())


def _workers_at(address: str) -> int:
    """How many threads of workers the scheduler has. Raises ValueError where it does not answer, or does not fit."""
    from distributed import Client
    from distributed.comm import get_address_host_port

    try:
        socket.create_connection(get_address_host_port(address), CONNECT_SECONDS).close()  # dask would go on trying
        with _quiet(), Client(address, timeout=CONNECT_SECONDS, set_as_default=False) as client:
            threads = client.nthreads()
            versions = client.run(version, "latentore", on_error="return") if threads else {}
    except (OSError, TimeoutError, ValueError) as error:
        raise ValueError(
            f"address {address!r}: no scheduler answers ({error}); start one with `dask scheduler`"
        ) from None
    for worker, found in versions.items():
        if found != version("latentore"):
            what = f"latentore {found}" if isinstance(found, str) else f"no latentore ({found})"
            raise ValueError(f"address {address!r}: worker {worker} has {what}, this is {version('latentore')}")
    return sum(threads.values())
