"""Commands that say what may be chosen and whether it is installed soundly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from campaigns.errors import UnknownChoiceError, UserError
from optimizer.commands.arguments import Json, RunsDir, json_text, print_json


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


def schema(
    out: Annotated[Path | None, typer.Option(help="Write it to this file; printed where absent.")] = None,
) -> None:
    """The JSON Schema of a campaign file, for completion and checks in an editor; kinds added here are in it."""
    from optimizer.schema import campaign_schema

    found = campaign_schema()
    if out is None:
        print_json(found)
        return
    try:
        out.write_text(json_text(found), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}).", "Choose another file.") from None
    print(f"{out}: the schema. Begin a campaign file with `# yaml-language-server: $schema={out}`.")


def doctor(runs_dir: RunsDir = Path("runs"), as_json: Json = False) -> None:
    """Check this installation: packages, device, potential, disk, name clashes."""
    from dataclasses import asdict

    from optimizer.doctor import examine

    checks = examine(runs_dir if runs_dir.is_dir() else Path())
    if as_json:
        print_json({"checks": [asdict(each) for each in checks]})
    else:
        from optimizer.display import print_checks

        print_checks(checks)
    if any(each.verdict == "fault" for each in checks):
        raise typer.Exit(UserError.exit_code)
