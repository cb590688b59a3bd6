"""Fresh processes of the standard library."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from campaigns.spec import Strict


class Params(Strict):
    """Nothing to choose."""


class Pool:
    def __init__(self, count):
        self.count = count

    def start(self, initializer, initargs):
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.count, mp_context=spawn, initializer=initializer, initargs=initargs)


def build(params, context):
    return Pool(context.workers or 2)
