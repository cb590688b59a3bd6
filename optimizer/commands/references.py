"""`optimize references`: tables of known crystals. Heavy libraries are imported inside the commands that need them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from campaigns.errors import UserError
from optimizer.commands.arguments import resumable

app = typer.Typer(no_args_is_help=True, help="Tables of known crystals, for hull distances and novelty.")


@app.command()
def build(
    data: Annotated[
        Path, typer.Option(help="CSV with CIFs, folder of CIF files, ASE database, .extxyz, pymatgen JSON.")
    ],
    out: Annotated[Path, typer.Option(help="The table, like known.csv.gz; the same command again goes on.")],
    calculator: Annotated[
        str, typer.Option(help="chgnet, sevennet, or the import path of an ASE calculator.")
    ] = "chgnet",
    calculator_args: Annotated[str, typer.Option(help="Its keyword arguments as JSON.")] = "{}",
    relax: Annotated[bool, typer.Option("--relax", help="Relax each crystal; else its energy as it stands.")] = False,
    cif_column: Annotated[str, typer.Option(help="The column of a CSV that holds the CIFs.")] = "cif",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Make a table from crystals: name it under `references:`, or as `reference` of energy_above_hull."""
    from optimizer.calculators import MP2020_POTENTIALS, CalculatorParams, potential
    from optimizer.reference_build import build_references

    params = CalculatorParams(calculator=calculator, calculator_args=json_arguments(calculator_args))
    with resumable():
        report = build_references(data, out, params, device=device, cif_column=cif_column, relaxed=relax)
    print(f"{out}: {report.rows} crystals, {report.energies} energies, {report.fingerprints} fingerprints.")
    for name, reason in list(report.refused.items())[:10]:
        print(f"left out: {name}: {reason}")
    if len(report.refused) > 10:
        print(f"left out: {len(report.refused) - 10} more.")
    if report.elements_without_energy and potential(params, device).version not in MP2020_POTENTIALS:
        print(
            f"No crystal of the element {', '.join(report.elements_without_energy)} alone: hull distances of its "
            "compounds will end as no_reference."
        )


@app.command()
def fetch(
    systems: Annotated[
        list[str], typer.Argument(help="Chemical systems, like Li-Fe-O; their subsystems are included.")
    ],
    out: Annotated[Path, typer.Option(help="A JSON file for `references build --data`.")],
) -> None:
    """Get crystals of the Materials Project; the environment variable MP_API_KEY holds your key."""
    from generative.materials_project import fetch as fetch_entries

    print(f"{out}: {fetch_entries(systems, out)} crystals. Materials Project, CC BY 4.0.")


def json_arguments(text: str) -> dict[str, Any]:
    """A calculator's keyword arguments. Raises UserError for anything but a JSON object."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise UserError(f"--calculator-args: {text!r} is no JSON object.", "Write it like '{\"asap_cutoff\": true}'.")
    return found
