"""One suite per role over every kind there is: a suite names its ROLE, its tests take `kind` and, where it matters,
`device`; one suite names none and takes `role` too. The kinds are looked up when tests are collected, so that a new
one needs no edit here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from shared_fixtures import caches_of_its_own

from campaigns.kinds import GROUPS, available_kinds


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        if role := getattr(metafunc.module, "ROLE", None):
            metafunc.parametrize("kind", list(available_kinds(role)))
        else:
            every = [(role, kind) for role in GROUPS for kind in available_kinds(role)]
            metafunc.parametrize(("role", "kind"), every)
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])


@pytest.fixture
def disturb() -> Iterator[Callable[[int], None]]:
    """Put every global random generator into the state of a number: no answer may depend on it."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()

    def seed_all(number: int) -> None:
        random.seed(number)
        np.random.seed(number)
        torch.manual_seed(number)

    yield seed_all
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


__all__ = ["caches_of_its_own"]
