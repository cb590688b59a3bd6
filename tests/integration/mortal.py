"""Run `optimize` in one forked child after another, each killed with SIGKILL at a moment of its own.

    python mortal.py MOMENTS.json ARGUMENT ...

MOMENTS.json holds a list of `[where, when, turn]`: the child dies "before" or "after" the turn-th call of `where`,
like "campaigns.store:CampaignStore.record"; null lets it end. One JSON line per child: `[signal, exit code]`.
Forking spares each child the imports and the tables. Judging a generator is cut short, and every refinement accepted,
so that what follows an acceptance happens too: what is at stake here is the ledger.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any

import torch
import torch._dynamo  # an optimiser asks for it: once here, not in every child

import optimizer.refinement as refinement
from generative.models.wyckoff_vae import WyckoffVae
from optimizer import cli, export, loop  # noqa: F401  loaded before the first fork
from optimizer.known_hull import known_hull
from optimizer.references import ReferenceTable

torch.set_num_threads(1)


def cut_short() -> None:
    held_out = WyckoffVae.held_out
    refinement.SAMPLES = 20
    WyckoffVae.held_out = lambda self: held_out(self)[:5]  # type: ignore[method-assign]
    refinement.losses = lambda figures: []


def die_at(where: str, when: str, turn: int) -> None:
    module, _, path = where.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for each in parents:
        owner = getattr(owner, each)
    original, calls = getattr(owner, name), 0

    def mortal(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == turn and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **named)
        if calls == turn:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, mortal)


def live(moment: list[Any] | None, arguments: list[str]) -> None:
    try:
        if moment is not None:
            die_at(*moment)
        sys.argv = ["optimize", *arguments]
        cli.main()
    except SystemExit as left:
        os._exit(int(left.code or 0))
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def main() -> None:
    cut_short()
    known_hull(ReferenceTable.load())
    with open(sys.argv[1]) as file:
        moments = json.load(file)
    for moment in moments:
        child = os.fork()
        if child == 0:
            live(moment, sys.argv[2:])
        _, status = os.waitpid(child, 0)
        killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        print(json.dumps([killed, 0 if killed else os.WEXITSTATUS(status)]), flush=True)


if __name__ == "__main__":
    main()
