"""Search methods side by side.

    python -m benchmarks run --task perovskite_pool --arms latentore,genetic --seeds 20 --budget 800 --data FILE
    python -m benchmarks summarize --task perovskite_pool

The same `run` goes on where it was cut off; several at once share the work. A run ends cleanly after --hours.
`latentore+descriptors=false` is the arm with a parameter changed.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from campaigns.errors import UserError

if TYPE_CHECKING:  # torch takes seconds, and --help must not pay for it
    from benchmarks.search.protocols import Task

RUNS = Path("runs/benchmarks")
RESULTS = Path("benchmarks/results")  # committed; `summarize --out benchmarks/results` reads them again
PACKAGES = ("torch", "botorch", "gpytorch", "pymatgen", "scikit-learn")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="run arms on a task, or go on with it")
    run.add_argument("--task", required=True)
    run.add_argument("--arms", required=True, help="separated by commas; the first of all seeds goes first")
    run.add_argument("--seeds", type=int, default=1, help="how many")
    run.add_argument("--first-seed", type=int, default=0)
    run.add_argument(
        "--budget", type=int, default=None, help="calls, the start among them; the task's own where absent"
    )
    run.add_argument("--data", type=Path, default=None, help="the table, where the task has one")
    run.add_argument("--out", type=Path, default=RUNS)
    run.add_argument("--hours", type=float, default=2.0, help="stop before the next round after so long")
    run.add_argument("--quiet", action="store_true")
    run.set_defaults(call=_run)
    summarize = commands.add_parser("summarize", help="one table and figures of what was run")
    summarize.add_argument("--task", required=True)
    summarize.add_argument("--arms", default=None, help="all that were run, where absent")
    summarize.add_argument("--out", type=Path, default=RUNS)
    summarize.set_defaults(call=_summarize)
    publish = commands.add_parser("publish", help="write the runs that ended as they are committed")
    publish.add_argument("--task", required=True)
    publish.add_argument("--out", type=Path, default=RUNS)
    publish.add_argument("--to", type=Path, default=RESULTS)
    publish.set_defaults(call=_publish)
    arguments = parser.parse_args()
    try:
        arguments.call(arguments)
    except UserError as error:
        print(f"{error.message} {error.remedy}".strip(), file=sys.stderr)
        sys.exit(2)


def _run(arguments: argparse.Namespace) -> None:
    from benchmarks.search.loading import build_named, calls_of
    from benchmarks.search.protocols import TaskContext
    from generative.threads import one_thread

    until = time.monotonic() + 3600 * arguments.hours
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    print(f"command: {command}")
    task = build_named("tasks", arguments.task, TaskContext(arguments.data, arguments.out / "cache"))
    print(f"task {task.name}: {', '.join(f'{k} {v}' for k, v in task.figures.items() if not isinstance(v, dict))}")
    if arguments.budget is None:
        arguments.budget = calls_of(arguments.task)
    with closing(task), one_thread():
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            for name in arguments.arms.split(","):
                if _run_arm(arguments, task, name, seed, command, until) == "hours":
                    print(f"stopped after {arguments.hours:g} hours; run the same command again to go on")
                    return


def _run_arm(arguments: argparse.Namespace, task: Task, name: str, seed: int, command: str, until: float) -> str:
    """How the run ended."""
    from benchmarks.search.loading import build_named
    from benchmarks.search.protocols import ArmContext
    from benchmarks.search.running import run_one

    folder = arguments.out / arguments.task

    def say(text: str) -> None:
        if not arguments.quiet:
            print(f"{name} seed {seed} {text}", flush=True)

    header = {
        "task": arguments.task,
        "arm": name,
        "seed": seed,
        "budget": arguments.budget,
        "command": command,
        "packages": {each: version(each) for each in PACKAGES},
    }
    ended = run_one(
        task,
        lambda: build_named("arms", name, ArmContext(folder / f"{name}-{seed}", seed, arguments.budget)),
        file=folder / f"{name}-{seed}.jsonl",
        seed=seed,
        budget=arguments.budget,
        header=header,
        until=until,
        say=say,
    )
    print(f"{name} seed {seed}: {ended.how} after {ended.calls} calls", flush=True)
    return ended.how


def _summarize(arguments: argparse.Namespace) -> None:
    from benchmarks.search.summary import summarize

    arms = None if arguments.arms is None else arguments.arms.split(",")
    print(summarize(arguments.out / arguments.task, arms))


def _publish(arguments: argparse.Namespace) -> None:
    from benchmarks.search.publishing import publish

    written = publish(arguments.out / arguments.task, arguments.to / arguments.task)
    print(f"{len(written)} runs in {arguments.to / arguments.task}")


if __name__ == "__main__":
    main()
