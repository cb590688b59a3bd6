"""Where the ledger of a run folder lies: in the folder, or in a database that `ledger.url` names.

`ledger.url` holds one line, the address with the campaign's name behind `#`. Each host has a run folder of its own,
which may call the same database by another name; the ledger is one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from campaigns.artifacts import write_durably
from campaigns.database import connect_sqlite, create_sqlite
from campaigns.errors import LedgerError
from campaigns.ledger_address import checked_address
from campaigns.postgresql import campaign_in, connect_postgresql, create_in_postgresql
from campaigns.spec import CampaignSpec

LEDGER = "ledger.sqlite"
ADDRESS = "ledger.url"
ANOTHER_NAME = "or give the new campaign another `name`."


def holds_ledger(folder: Path) -> bool:
    """Whether a campaign was begun in this run folder, wherever its ledger lies."""
    return (folder / LEDGER).is_file() or (folder / ADDRESS).is_file()


def create_ledger(folder: Path, spec: CampaignSpec, fill: Callable[[Connection], None]) -> None:
    """A new ledger where `spec` wants it; the folder names it last, so that none is ever seen half made.

    Raises LedgerError where there is one, or it cannot be written.
    """
    try:
        (folder / "artifacts").mkdir(parents=True, exist_ok=True)
        if spec.ledger is None:
            create_sqlite(folder / LEDGER, fill)
        else:
            create_in_postgresql(spec.ledger, spec.name, fill)
            _point_to(folder, spec.ledger, spec.name)
    except FileExistsError:
        raise LedgerError(f"{folder}: holds a campaign already.", "Open it, or choose another name.") from None
    except OSError as error:
        raise LedgerError(f"{folder}: cannot be written ({error.strerror}).", "Choose another folder.") from None
    except OperationalError as error:
        raise LedgerError(f"{folder}: cannot be written ({error.orig}).", "Choose another folder.") from None


def connect_ledger(folder: Path) -> tuple[Engine, str]:
    """An engine on the folder's ledger, and where that lies. Raises LedgerError where there is none."""
    if (folder / LEDGER).is_file():
        return connect_sqlite(folder / LEDGER), str(folder / LEDGER)
    if (place := _pointed_to(folder)) is None:
        raise LedgerError(f"{folder}: holds no campaign.", "Start one with `optimize run CAMPAIGN`.")
    address, name = place
    if not campaign_in(address, name):
        raise LedgerError(f"{folder}: {address} holds no campaign {name!r}.", "Restore it from a dump.")
    return connect_postgresql(address, name), address


def find_ledger(folder: Path, spec: CampaignSpec) -> bool:
    """Whether the campaign was begun; `folder` then knows where its ledger lies, also on a host that is new to it.

    Raises LedgerError where folder and spec name different places: measurements would end up in two ledgers.
    """
    here, place = (folder / LEDGER).is_file(), _pointed_to(folder)
    if spec.ledger is None:
        if place is not None:
            raise LedgerError(f"{folder}: its ledger lies in {place[0]}.", f"Write that as `ledger`, {ANOTHER_NAME}")
        return here
    if here:
        raise LedgerError(
            f"{folder}: its ledger is the file {LEDGER}, not {spec.ledger}.", f"Take `ledger` out, {ANOTHER_NAME}"
        )
    if not campaign_in(spec.ledger, spec.name):
        if place is not None:
            raise LedgerError(
                f"{folder}: its ledger lies in {place[0]}, and {spec.ledger} holds no campaign {spec.name!r}.",
                f"Write the first as `ledger`, {ANOTHER_NAME}",
            )
        return False
    if place != (spec.ledger, spec.name):
        (folder / "artifacts").mkdir(parents=True, exist_ok=True)
        _point_to(folder, spec.ledger, spec.name)
    return True


def _point_to(folder: Path, address: str, name: str) -> None:
    write_durably(folder / ADDRESS, f"{address}#{name}\n".encode())


def _pointed_to(folder: Path) -> tuple[str, str] | None:
    if not (folder / ADDRESS).is_file():
        return None
    address, _, name = (folder / ADDRESS).read_text("utf-8").strip().partition("#")
    try:
        return checked_address(address), name
    except ValueError:
        raise LedgerError(f"{folder / ADDRESS}: names no ledger.", "Restore the run folder from a copy.") from None
