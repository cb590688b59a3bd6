"""Leases are renewed while the main thread is busy, and no longer."""

from __future__ import annotations

import threading
import time

import pytest
from pymatgen.core import Structure

from campaigns.records import Candidate
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from optimizer.heartbeat import heartbeat

SPEC = parse_spec(
    {
        "name": "beating",
        "oracles": ["relax"],
        "objectives": {"energy_ev_atom": "minimize"},
        "budget": {"oracle_calls": 10},
    }
)
CRYSTAL = Structure([[3, 0, 0], [0, 3, 0], [0, 0, 3]], ["W"], [[0, 0, 0]])
PATIENCE = 60


def test_a_lease_is_renewed_from_a_thread_that_ends_with_the_block(tmp_path):
    with CampaignStore.create(tmp_path, SPEC, provenance={}) as store, store.lock():
        store.finish_phase(0, "start", candidates=[Candidate("c0", 0, "a", CRYSTAL, None, "v")])
        store.lease("c0")
        first = store.leases()[0].heartbeat_at
        end = time.monotonic() + PATIENCE
        with heartbeat(store, seconds=0.05):
            while store.leases()[0].heartbeat_at == first and time.monotonic() < end:
                time.sleep(0.05)
        assert store.leases()[0].heartbeat_at > first
        assert store.leases()[0].owner.since == first


def test_an_exception_in_the_block_ends_the_thread_too(tmp_path):
    with CampaignStore.create(tmp_path, SPEC, provenance={}) as store:

        def interrupted() -> None:
            with heartbeat(store):
                assert "heartbeat" in {thread.name for thread in threading.enumerate()}
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert "heartbeat" not in {thread.name for thread in threading.enumerate()}
