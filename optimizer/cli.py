"""The command `optimize`. Heavy libraries are imported inside the commands that need them."""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from campaigns.errors import CampaignInterrupted, LatentoreError, UnknownChoiceError, UserError
from campaigns.workers import cores
from optimizer.outages import outage
from optimizer.reference_commands import app as references_app

if TYPE_CHECKING:
    from campaigns.spec import CampaignSpec
    from campaigns.store import CampaignStore

app = typer.Typer(
    name="optimize",
    help="Find new inorganic crystals with a target property: one campaign file in, a ranked list out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(references_app, name="references")

Campaign = Annotated[str, typer.Argument(help="A campaign YAML, or the name of an example like quickstart.")]
Run = Annotated[str, typer.Argument(help="A run folder, or the name of a campaign under --runs-dir.")]
RunsDir = Annotated[Path, typer.Option(help="Where run folders are kept.")]
Data = Annotated[Path, typer.Option(help="CSV with CIFs, folder of CIF files, ASE database, .extxyz, pymatgen JSON.")]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="COLUMN=PROPERTY", help="A numeric column to learn, like gap=band_gap_ev."),
]
CifColumn = Annotated[str, typer.Option(help="The column of a CSV that holds the CIFs.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads and processes; all cores where absent.")]
TakeOver = Annotated[bool, typer.Option("--take-over", help="Ignore the lock of a process that is gone for sure.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def main() -> None:
    """Console entry. Exit codes: 0 done, 2 the user can mend it, 3 interrupted and resumable."""
    try:
        app()
    except LatentoreError as error:
        print(f"optimize: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        if (found := outage(error)) is None:
            raise
        print(f"optimize: {found}", file=sys.stderr)
        sys.exit(found.exit_code)


@app.command()
def check(campaign: Campaign, runs_dir: RunsDir = Path("runs")) -> None:
    """Build everything the campaign needs, show what it will do and cost, and spend nothing."""
    path, spec = _load(campaign)
    # after the file was read: a misspelt key is found without loading torch
    from optimizer.build import build
    from optimizer.display import print_plan
    from optimizer.plan import plan

    print_plan(plan(build(spec, path.parent), runs_dir / spec.name))
    print(f"{path}: ready to run.")


@app.command()
def run(
    campaign: Campaign,
    runs_dir: RunsDir = Path("runs"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    take_over: TakeOver = False,
) -> None:
    """Run a campaign, or go on with one that was started, and export its list.

    Ctrl-C stops it after the candidates in hand, a second one at once; nothing measured is lost.
    """
    path, spec = _load(campaign)
    from optimizer.loop import run_campaign

    folder = runs_dir / spec.name
    try:
        run_campaign(spec, folder=path.parent, run_folder=folder, quiet=quiet, take_over=take_over)
    except CampaignInterrupted:
        _export(folder, quiet=quiet)
        raise
    _export(folder, quiet=quiet)


def _export(folder: Path, *, quiet: bool) -> None:
    """Write the list of what was found so far, and show it with what it cost."""
    from campaigns.store import CampaignStore
    from optimizer.display import print_cost, print_ranking
    from optimizer.export import export_campaign
    from optimizer.known import known_to
    from optimizer.status import campaign_status

    with CampaignStore.open(folder) as store:
        report = export_campaign(store, novelty=known_to(store).novelty)
        summary = campaign_status(store)
    if not quiet:
        print_ranking(json.loads((report.folder / "ranking.json").read_text("utf-8")), report.folder)
        print_cost(summary)


@app.command()
def ask(
    campaign: Campaign,
    n: Annotated[
        int | None, typer.Option("-n", min=1, help="Most candidates to hand out; batch_size where absent.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A new folder; RUN/asked/001, 002 ... where absent.", show_default=False)
    ] = None,
    vasp: Annotated[
        str | None, typer.Option(metavar="SET", help="Write inputs of this pymatgen set too, like MPRelaxSet.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Write what was handed out and has no value yet; propose nothing.")
    ] = False,
    runs_dir: RunsDir = Path("runs"),
    take_over: TakeOver = False,
    as_json: Json = False,
) -> None:
    """Propose candidates to be measured outside: CIF files and a manifest to fill in.

    For campaigns with `{kind: external, properties: {NAME: UNIT}}` as their last oracle. What was handed out before and
    is not told yet is kept in mind.
    """
    path, spec = _load(campaign)
    from optimizer.asking import ask_campaign

    report = ask_campaign(
        spec,
        folder=path.parent,
        run_folder=runs_dir / spec.name,
        n=n or spec.batch_size,
        out=out,
        vasp=vasp,
        again=again,
        report=(lambda text: None) if as_json else print,
        take_over=take_over,
    )
    if as_json:
        from dataclasses import asdict

        _print_json(asdict(report) | {"folder": None if report.folder is None else str(report.folder)})
    else:
        from optimizer.display import print_asked

        print_asked(report)


@app.command()
def tell(
    campaign: Campaign,
    results: Annotated[Path, typer.Argument(help="The manifest with values, uncertainties and failures filled in.")],
    replace: Annotated[bool, typer.Option("--replace", help="Let a differing second value of a row count.")] = False,
    runs_dir: RunsDir = Path("runs"),
    take_over: TakeOver = False,
    as_json: Json = False,
) -> None:
    """Take back what was measured outside, in any order and in parts; the same rows again change nothing.

    A row that is wrong is refused with the reason and the others are kept; then the exit code is 2.
    """
    _, spec = _load(campaign)
    from optimizer.telling import tell_campaign

    report = tell_campaign(spec, results, run_folder=runs_dir / spec.name, replace=replace, take_over=take_over)
    if as_json:
        from dataclasses import asdict

        _print_json(asdict(report))
    else:
        from optimizer.display import print_told

        print_told(report)
    for number, refusal in report.refused.items():
        print(f"{results}, row {number}: {' '.join([refusal.candidate_id, refusal.reason]).strip()}", file=sys.stderr)
    if report.refused:
        rows = f"{len(report.refused)} row{'s' if len(report.refused) > 1 else ''} refused"
        raise UserError(f"{results}: {rows}; everything else is kept.", "Correct these and tell the table again.")


@app.command()
def status(run: Run, runs_dir: RunsDir = Path("runs"), as_json: Json = False) -> None:
    """Where a campaign stands: rounds, budget, failures by code, best so far."""
    from optimizer.status import campaign_status

    with _open(run, runs_dir) as store:
        summary = campaign_status(store)
    if as_json:
        _print_json(summary)
    else:
        from optimizer.display import print_status

        print_status(summary)


@app.command()
def export(run: Run, runs_dir: RunsDir = Path("runs"), as_json: Json = False) -> None:
    """Rank what was found and write ranking.csv, ranking.json, CIF and extended-XYZ files."""
    with _open(run, runs_dir) as store:
        from optimizer.export import export_campaign
        from optimizer.known import known_to

        report = export_campaign(store, novelty=known_to(store).novelty)
    document = json.loads((report.folder / "ranking.json").read_text("utf-8"))
    if as_json:
        _print_json({"folder": str(report.folder), **document})
    else:
        from optimizer.display import print_ranking

        print_ranking(document, report.folder)


@app.command()
def verify(
    run: Run,
    runs_dir: RunsDir = Path("runs"),
    top: Annotated[int, typer.Option(min=1, help="How many, from the head of the list.")] = 10,
    calculator: Annotated[
        str, typer.Option(help="sevennet, chgnet, or the import path of an ASE calculator.")
    ] = "sevennet",
    calculator_args: Annotated[str, typer.Option(help="Its keyword arguments as JSON.")] = "{}",
    threshold: Annotated[
        float, typer.Option(min=0, help="Hull distances further apart than this are flagged (eV/atom).")
    ] = 0.05,
    competing_phases: Annotated[
        int | None,
        typer.Option(min=0, help="Formulas made with the second potential; as in the campaign where absent."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Measure the top of the list again with a second potential, against a hull of its own, and export again.

    The list then shows both values and their difference. It costs no budget; run it again to go on or change it.
    """
    from optimizer.calculators import CalculatorParams
    from optimizer.reference_commands import json_arguments
    from optimizer.verification import verify_campaign

    params = CalculatorParams(calculator=calculator, calculator_args=json_arguments(calculator_args))
    folder = run_folder(run, runs_dir)
    verify_campaign(folder, params, top=top, threshold_ev_atom=threshold, formulas=competing_phases)
    _export(folder, quiet=quiet)


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the run and its weights; the same again goes on.")],
    label: Labels = None,
    cif_column: CifColumn = "cif",
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the crystals.")] = None,
    max_atoms: Annotated[int | None, typer.Option(min=1, help="Most atoms in a primitive cell.")] = None,
    symprec: Annotated[float | None, typer.Option(help="Symmetry tolerance in angstrom.")] = None,
    latent: Annotated[int | None, typer.Option(min=1, help="Dimensions of the latent space.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Decides the split and the weights.")] = None,
    start: Annotated[Path | None, typer.Option(help="Folder of a generator whose weights to begin with.")] = None,
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
        labels=label or (),
        cif_column=cif_column,
        attribution=attribution,
        licence=licence,
        threads=threads or cores(),
    )


@app.command()
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
        _print_json(found.document)
    else:
        from optimizer.display import print_evaluation

        print_evaluation(found.document, out)


@app.command()
def kinds(
    role: Annotated[str | None, typer.Argument(help="One role, like oracle; every role where absent.")] = None,
) -> None:
    """List the kinds a campaign file may name, with their parameters."""
    from campaigns.kinds import GROUPS
    from optimizer.catalogue import describe_kinds
    from optimizer.display import print_kinds

    if role is not None and role not in GROUPS:
        raise UnknownChoiceError("role", role, list(GROUPS))
    for each in GROUPS if role is None else (role,):
        print_kinds(each, describe_kinds(each))


@app.command()
def schema() -> None:
    """Print the JSON Schema of a campaign file, for completion and checks in an editor."""
    from optimizer.schema import campaign_schema

    _print_json(campaign_schema())


@app.command()
def doctor(runs_dir: RunsDir = Path("runs"), as_json: Json = False) -> None:
    """Check this installation: packages, device, potential, disk, name clashes."""
    from dataclasses import asdict

    from optimizer.doctor import examine

    checks = examine(runs_dir if runs_dir.is_dir() else Path())
    if as_json:
        _print_json({"checks": [asdict(each) for each in checks]})
    else:
        from optimizer.display import print_checks

        print_checks(checks)
    if any(each.verdict == "fault" for each in checks):
        raise typer.Exit(UserError.exit_code)


def example_names() -> list[str]:
    """Bundled campaigns, by name."""
    folder = files("campaigns") / "examples"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def campaign_path(campaign: str) -> Path:
    """A path, or a bundled example where no such file exists. Raises UserError naming the choices."""
    path, names = Path(campaign), example_names()
    if path.is_file():
        return path
    if campaign in names:
        return Path(str(files("campaigns") / "examples" / f"{campaign}.yaml"))
    if path.is_dir():
        raise UserError(f"{campaign}: is a folder.", "Give the path of a campaign YAML in it.")
    examples = f" or an example: {', '.join(names)}" if names else ""
    raise UserError(f"{campaign}: no such file.", f"Give the path of a campaign YAML{examples}.")


def run_folder(run: str, runs_dir: Path) -> Path:
    """A folder, or a campaign of that name under `runs_dir`. Raises UserError naming those there."""
    if Path(run).is_dir():
        return Path(run)
    if (runs_dir / run).is_dir():
        return runs_dir / run
    names = sorted(path.parent.name for path in runs_dir.glob("*/ledger.sqlite"))
    remedy = f"There are: {', '.join(names)}." if names else "Start one with `optimize run CAMPAIGN`."
    raise UserError(f"{run}: no such run folder, and no campaign of that name under {runs_dir}.", remedy)


def _load(campaign: str) -> tuple[Path, CampaignSpec]:
    from campaigns.spec import load_spec

    path = campaign_path(campaign)
    return path, load_spec(path)


def _open(run: str, runs_dir: Path) -> CampaignStore:
    from campaigns.store import CampaignStore

    return CampaignStore.open(run_folder(run, runs_dir))


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))
