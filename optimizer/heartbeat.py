"""A sign of life in the ledger while candidates are evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from campaigns.store import CampaignStore

SECONDS = 15.0


@contextmanager
def heartbeat(store: CampaignStore, seconds: float = SECONDS) -> Iterator[None]:
    """Renew the leases of this process every so many seconds.

    From a thread of its own: with one worker an oracle keeps the main thread busy, for hours where it is costly.
    """
    done = Event()

    def beat() -> None:
        while not done.wait(seconds):
            store.renew_leases()

    thread = Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
