"""Arguments and options that several commands take, and what they all do with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from campaigns.errors import CampaignInterrupted
from optimizer.campaign_files import campaign_path, run_folder

if TYPE_CHECKING:
    from campaigns.spec import CampaignSpec
    from campaigns.store import CampaignStore

Campaign = Annotated[str, typer.Argument(help="A campaign YAML, or the name of an example like quickstart.")]
Run = Annotated[str, typer.Argument(help="A run folder, or the name of a campaign under --runs-dir.")]
RunsDir = Annotated[Path, typer.Option(help="Where run folders are kept.")]
Data = Annotated[
    Path,
    typer.Option(
        help="CSV with CIFs, folder of CIFs, ASE database, .extxyz, pymatgen JSON, matminer:NAME, mp:..., optimade:..."
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="COLUMN=PROPERTY", help="A numeric column to learn, like gap=band_gap_ev."),
]
CifColumn = Annotated[str, typer.Option(help="The column of a CSV that holds the CIFs.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads and processes; all cores where absent.")]
TakeOver = Annotated[bool, typer.Option("--take-over", help="Ignore the lock of a process that is gone for sure.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def load(campaign: str) -> tuple[Path, CampaignSpec]:
    from campaigns.spec import load_spec

    path = campaign_path(campaign)
    return path, load_spec(path)


def open_run(run: str, runs_dir: Path) -> CampaignStore:
    from campaigns.store import CampaignStore

    return CampaignStore.open(run_folder(run, runs_dir))


@contextmanager
def resumable() -> Iterator[None]:
    """For a command that goes on when it is run again: Ctrl-C ends it with a line that says so."""
    try:
        yield
    except KeyboardInterrupt:
        raise CampaignInterrupted("stopped; run the same command again to go on.") from None


def print_json(value: Any) -> None:
    print(json_text(value), end="")


def json_text(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
