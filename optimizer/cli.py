"""The command `optimize`: what is in `optimizer.commands`, in the order in which `optimize --help` lists it."""

from __future__ import annotations

import sys

import typer

from campaigns.errors import LatentoreError
from optimizer.commands import beginning, campaigns, generators, installation, outside, references, sharing
from optimizer.outages import outage

COMMANDS = (
    beginning.init,
    campaigns.check,
    campaigns.run,
    sharing.work,
    outside.ask,
    outside.tell,
    campaigns.status,
    campaigns.report,
    campaigns.export,
    campaigns.verify,
    generators.train,
    generators.evaluate_generator,
    installation.kinds,
    installation.schema,
    installation.doctor,
)

app = typer.Typer(
    name="optimize",
    help="Find new inorganic crystals with a target property: one campaign file in, a ranked list out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(references.app, name="references")


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
