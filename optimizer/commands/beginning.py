"""The command that writes a new campaign file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optimizer.commands.arguments import Json, print_json


def init(
    file: Annotated[
        Path | None, typer.Argument(help="The new campaign file; NAME.yaml here where absent.", show_default=False)
    ] = None,
    template: Annotated[
        str, typer.Option("--template", "-t", help="stiff, gap, formation, multi, ask-tell or your-data.")
    ] = "stiff",
    name: Annotated[
        str | None, typer.Option(help="Names the run folder; the file's or the template's where absent.")
    ] = None,
    elements: Annotated[
        str | None, typer.Option(help="Only these, symbols and groups: Ti,O,N or transition_metal,C.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="For your-data: your table of crystals; an example's where absent.")
    ] = None,
    property_: Annotated[
        str | None, typer.Option("--property", help="For your-data and ask-tell: its name with unit, like gap_ev.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a commented campaign file that is ready to run, and the schema that editors complete it from.

    Nothing is asked and nothing overwritten: what is not given has a default, to be changed in the file.
    """
    from optimizer.campaign_templates import Wishes, init_campaign

    chosen = None if elements is None else tuple(elements.replace(",", " ").split())
    written = init_campaign(template, file, Wishes(name, chosen, data, property_))
    if as_json:
        print_json({key: None if path is None else str(path) for key, path in vars(written).items()})
        return
    table = "" if written.table is None else f" with the example table {written.table},"
    print(f"{written.campaign}: written from the template {template},{table} and {written.schema} for editors.")
    print(f"Next: optimize check {written.campaign}")
