"""Starts a process when it is built, so that looking at a campaign costs what running it does."""

from __future__ import annotations

import multiprocessing
import time

from optimizer.executors.sound_pool import Params, Pool

__all__ = ["Params", "build"]


def build(params, context):
    multiprocessing.get_context("spawn").Process(target=time.sleep, args=(5,), daemon=True).start()
    return Pool(context.workers or 2)
