"""Commands that make and measure a generator. Heavy libraries are imported inside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from campaigns.errors import UserError
from campaigns.workers import cores
from optimizer.commands.arguments import CifColumn, Data, Json, Labels, Threads, print_json


def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the run and its weights; the same again goes on.")],
    label: Labels = None,
    cif_column: CifColumn = "cif",
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Passes over the crystals, 60 where absent; 0 keeps --start's.")
    ] = None,
    max_atoms: Annotated[
        int | None, typer.Option(min=1, help="Most atoms in a primitive cell, 20 where absent.")
    ] = None,
    symprec: Annotated[float | None, typer.Option(help="Symmetry tolerance in angstrom, 0.1 where absent.")] = None,
    latent: Annotated[int | None, typer.Option(min=1, help="Dimensions of the latent space, 64 where absent.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Decides the split and the weights, 0 where absent.")] = None,
    start: Annotated[Path | None, typer.Option(help="Folder of a generator whose weights to begin with.")] = None,
    plausible: Annotated[
        Path | None,
        typer.Option(help="Crystals that samples shall resemble; where absent, the data's and their likely relatives."),
    ] = None,
    threads: Threads = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting, like batch=64; the run prints all."),
    ] = None,
    attribution: Annotated[str | None, typer.Option(help="Whom the model card credits for the crystals.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights, for the model card.")] = None,
) -> None:
    """Make a generator from your own crystals; Ctrl-C stops it, the same command goes on.

    A campaign uses it with `generator: {kind: wyckoff_vae, weights: OUT}`.
    """
    from generative.training_run import changed_settings, train_generator

    changes = {"epochs": epochs, "max_atoms": max_atoms, "symprec_ang": symprec, "latent": latent, "seed": seed}
    train_generator(
        data,
        out,
        changed_settings(changes, change or ()),
        start=start,
        plausible=plausible,
        labels=label or (),
        cif_column=cif_column,
        attribution=attribution,
        licence=licence,
        threads=threads or cores(),
    )


def evaluate_generator(
    data: Data,
    weights: Annotated[str, typer.Option(help="Folder made by `optimize train`, or `bundled`.")] = "bundled",
    out: Annotated[Path | None, typer.Option(help="Folder for evaluation.json and a page of plots.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Latents drawn from the prior.")] = 10_000,
    limit: Annotated[int | None, typer.Option(min=1, help="Reconstruct this many at random; all where absent.")] = None,
    label: Labels = None,
    cif_column: CifColumn = "cif",
    seed: Annotated[int, typer.Option(min=0, help="Decides every random choice.")] = 0,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure a generator: reconstruction, samples, latent space, speed, each figure with its rule.

    On the set it was trained on only held-out crystals count; elsewhere every row does.
    """
    if out is not None:
        if out.exists() and not out.is_dir():
            raise UserError(f"{out}: is a file.", "Give a folder as --out.")
        out.mkdir(parents=True, exist_ok=True)
    from generative.evaluation_run import evaluate_generator
    from optimizer.references import ReferenceTable

    table = ReferenceTable.load()
    found = evaluate_generator(
        weights,
        data,
        samples=samples,
        limit=limit,
        seed=seed,
        labels=label or (),
        cif_column=cif_column,
        known=lambda fingerprint: bool(table.is_known(fingerprint)),
        cache=None if out is None else out / "codes.npz",
        threads=threads or cores(),
    )
    if out is not None:
        from generative.plots import write_evaluation

        write_evaluation(found, out)
    if as_json:
        print_json(found.document)
    else:
        from optimizer.display import print_evaluation

        print_evaluation(found.document, out)
