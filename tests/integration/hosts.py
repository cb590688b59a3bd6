"""Run `optimize` on several hosts at once: forked children of one process, which spares each the imports.

    python hosts.py HOSTS.json

HOSTS.json holds a list of `{"host": ..., "namespace": ..., "after": ..., "arguments": [...]}`. Each child gives itself
the host's name, enters the network namespace of that name where there is one, waits until the file `after` is there,
and runs. What fell silent for SILENCE seconds is given up, where the product waits for minutes. Prints
`{host: pid}` first, and `[host, signal, exit code]` as each ends.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import time
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from campaigns import ledger
from optimizer import cli, export, loop, working  # noqa: F401  loaded before the fork
from optimizer.heartbeat import heartbeat

SILENCE = 4.0
torch.set_num_threads(1)
ledger.SHARED_SILENCE = timedelta(seconds=SILENCE)
heartbeat.__wrapped__.__defaults__ = (SILENCE / 4,)  # type: ignore[attr-defined]


def enter(namespace: str) -> None:
    """setns(2), which Python has from 3.12 on."""
    with open(f"/var/run/netns/{namespace}") as file:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(file.fileno(), 0):
            raise OSError(ctypes.get_errno(), f"network namespace {namespace}")


def live(host: dict[str, Any]) -> None:
    try:
        if host["namespace"]:
            enter(host["namespace"])
        socket.gethostname = lambda: host["host"]
        os.environ["HOST_OF_TEST"] = host["host"]
        while host["after"] and not Path(host["after"]).exists():
            time.sleep(0.05)
        sys.argv = ["optimize", *host["arguments"]]
        cli.main()
    except SystemExit as left:
        sys.stdout.flush()
        os._exit(int(left.code or 0))
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def main() -> None:
    hosts = json.loads(Path(sys.argv[1]).read_text())
    children: dict[int, str] = {}
    for host in hosts:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            live(host)
        children[child] = host["host"]
    print(json.dumps({name: pid for pid, name in children.items()}), flush=True)
    while children:
        pid, status = os.wait()
        killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        print(json.dumps([children.pop(pid), killed, 0 if killed else os.WEXITSTATUS(status)]), flush=True)


if __name__ == "__main__":
    main()
