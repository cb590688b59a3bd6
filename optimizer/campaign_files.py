"""Where campaign files and run folders are found, by path or by name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from campaigns.errors import UserError


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
    there = [str(file) for kind in ("*.yaml", "*.yml") for file in path.parent.glob(kind)]
    hint = _near(campaign, [*there, *names])
    raise UserError(f"{campaign}: no such file.", f"Give the path of a campaign YAML{examples}.{hint}")


def run_folder(run: str, runs_dir: Path) -> Path:
    """A folder, or a campaign of that name under `runs_dir`. Raises UserError naming those there."""
    if Path(run).is_dir():
        return Path(run)
    if (runs_dir / run).is_dir():
        return runs_dir / run
    from campaigns.places import holds_ledger  # loads the database's library

    names = sorted(path.name for path in runs_dir.glob("*") if holds_ledger(path))
    remedy = (
        f"There are: {', '.join(names)}.{_near(run, names)}" if names else "Start one with `optimize run CAMPAIGN`."
    )
    raise UserError(f"{run}: no such run folder, and no campaign of that name under {runs_dir}.", remedy)


def _near(typed: str, there: Iterable[str]) -> str:
    """What was probably meant: `run` takes a file and `report` a name, so a suffix is easily too many or missing."""
    names = {Path(each).stem: each for each in there}
    near = get_close_matches(Path(typed).stem, names, n=1)
    return f" Did you mean {names[near[0]]!r}?" if near else ""
