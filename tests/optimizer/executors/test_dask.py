"""What only dask has: a scheduler that runs already, and jobs on Slurm."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import worker_deeds
from dask import config as dask_config

from optimizer.executors import dask
from optimizer.executors.dask import Params, Slurm
from optimizer.protocols import ExecutorContext

SBATCH = """#!/bin/sh
for last; do :; done
cp "$last" "{folder}/job.sh"
setsid sh "{folder}/job.sh" > "{folder}/job.log" 2>&1 &
echo $! >> "{folder}/jobs"
echo "Submitted batch job $!"
"""


@pytest.fixture
def on_path(tmp_path, monkeypatch):
    """A machine on which jobs can be submitted: they start at once, here."""
    for name, text in (("sbatch", SBATCH.format(folder=tmp_path)), ("scancel", "#!/bin/sh\nkill -- -$1\n")):
        path = tmp_path / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_slurm_it_is_refused_at_once(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="there is no `sbatch` here"):
        dask.build(Params(slurm=Slurm(jobs=2)), ExecutorContext(None))


def test_jobs_ask_slurm_for_what_the_file_says(on_path):
    slurm = Slurm(
        jobs=3,
        memory="6GB",
        walltime="01:30:00",
        cores=2,
        queue="short",
        account="me",
        directives=("--gres=gpu:1",),
        prologue=("module load cuda",),
    )
    assert dask.build(Params(slurm=slurm), ExecutorContext(7)).count == 3  # jobs, not workers
    cluster = dask.slurm_cluster(slurm)
    try:
        script = cluster.job_script()
    finally:
        cluster.close()
    for line in ("-p short", "-A me", "-t 01:30:00", "--cpus-per-task=2", "--gres=gpu:1", "--mem=6G"):
        assert f"#SBATCH {line}" in script
    assert "\nmodule load cuda\n" in script
    assert f"{sys.executable} -m distributed.cli.dask_worker" in script
    assert "--nthreads 1" in script


def test_work_is_done_in_jobs_that_end_with_the_campaign(on_path, monkeypatch):
    monkeypatch.setattr(dask, "IN_QUEUE_SECONDS", 60.0)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))  # the deeds are installed nowhere
    workers = dask.build(Params(slurm=Slurm(jobs=1)), ExecutorContext(None))
    executor = workers.start(worker_deeds.start, ("hello",))
    try:
        assert executor.submit(worker_deeds.what_it_started_with).result(120) == ["hello"]
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
    jobs = (on_path / "jobs").read_text().split()
    assert len(jobs) == 1


def test_a_job_that_slurm_ends_is_submitted_again(on_path, monkeypatch):
    monkeypatch.setattr(dask, "IN_QUEUE_SECONDS", 60.0)
    monkeypatch.setattr(dask, "JOBS_COUNTED_SECONDS", 0.5)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    with dask_config.set({"distributed.deploy.lost-worker-timeout": "500ms"}):
        workers = dask.build(Params(slurm=Slurm(jobs=1)), ExecutorContext(None))
        executor = workers.start(worker_deeds.start, ("hello",))
        try:
            first = (on_path / "jobs").read_text().split()
            os.killpg(int(first[0]), signal.SIGKILL)  # the walltime is over
            assert executor.submit(worker_deeds.what_it_started_with).result(120) == ["hello"]
            assert len((on_path / "jobs").read_text().split()) == len(first) + 1 == 2
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def test_a_scheduler_that_runs_stays_with_its_workers(tmp_path):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        workers = dask.build(Params(address=cluster.scheduler_address), ExecutorContext(None))
        assert workers.count == 1
        executor = workers.start(worker_deeds.start, ("hello",))
        pid = executor.submit(os.getpid).result(120)
        executor.shutdown(wait=True, cancel_futures=True)
        assert not Path(f"/proc/{pid}").exists()
        assert client.submit(abs, -1).result(120) == 1


def test_dask_is_loaded_only_where_it_is_asked_for():
    code = "import optimizer.executors.dask, sys; print('distributed' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
