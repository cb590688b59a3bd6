"""A campaign from Python: what the commands do, with tables and crystals as answers.

from optimizer import Campaign

campaign = Campaign.from_yaml("campaign.yaml").run()
campaign.best(10)         # a pandas table, units at the end of its columns' names
campaign.structures(10)   # the crystals of its rows, as they relaxed
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaigns.spec import CampaignSpec, load_spec, parse_spec
from campaigns.store import CampaignStore
from optimizer.campaign_files import campaign_path

if TYPE_CHECKING:
    import pandas as pd
    from pymatgen.core import Structure

    from optimizer.asking import AskReport
    from optimizer.ranking import Ranking
    from optimizer.telling import TellReport

USUAL_TOP = 10


@dataclass(frozen=True)
class Campaign:
    """One campaign file and its run folder; all that happened is in the folder, so two of these are the same one.

    Every method raises UserError where a person can mend something, as the commands do.
    """

    spec: CampaignSpec
    folder: Path  # of the campaign file; relative paths in it start here
    run_folder: Path

    @classmethod
    def from_yaml(cls, path: str | Path, runs_dir: str | Path = "runs") -> Campaign:
        """A campaign file, or the name of a bundled example. Nothing is built or written yet."""
        place = campaign_path(str(path))
        spec = load_spec(place)
        return cls(spec, place.parent, Path(runs_dir) / spec.name)

    @classmethod
    def from_dict(cls, data: dict[str, Any], runs_dir: str | Path = "runs", folder: str | Path = ".") -> Campaign:
        """The same keys as in a file; relative paths start at `folder`."""
        spec = parse_spec(data)
        return cls(spec, Path(folder), Path(runs_dir) / spec.name)

    def plan(self, *, measure: bool = False) -> pd.DataFrame:
        """What `optimize check` prints, as a table of `what` and `words`."""
        import pandas as pd

        from optimizer.build import build
        from optimizer.plan import plan

        lines = plan(build(self.spec, self.folder), self.run_folder, measure=measure)
        return pd.DataFrame(lines, columns=["what", "words"])

    def run(self, *, quiet: bool = False, take_over: bool = False) -> Campaign:
        """Run, or go on, until the budget is spent, and write the list; returns itself. See `run_campaign`."""
        from optimizer.loop import run_campaign

        run_campaign(self.spec, folder=self.folder, run_folder=self.run_folder, quiet=quiet, take_over=take_over)
        self.export()
        return self

    def status(self) -> dict[str, Any]:
        """What `optimize status --json` prints; also while another process runs the campaign."""
        from optimizer.status import campaign_status

        with CampaignStore.open(self.run_folder) as store:
            return campaign_status(store)

    def best(self, n: int = USUAL_TOP) -> pd.DataFrame:
        """The best `n` so far, indexed by rank: the columns of ranking.csv."""
        import pandas as pd

        from optimizer.export import listed

        with CampaignStore.open(self.run_folder) as store:
            columns, rows = listed(store, _ranking(store, n))
        return pd.DataFrame(rows, columns=columns).set_index("rank")

    def structures(self, n: int = USUAL_TOP) -> list[Structure]:
        """The crystals of `best(n)` in its order, as they relaxed."""
        with CampaignStore.open(self.run_folder) as store:
            return [entry.crystal for entry in _ranking(store, n).entries]

    def export(self, formats: Sequence[str] | None = None, folder: str | Path | None = None) -> Path:
        """Write the list, `export.top` of them, in the usual formats or these; returns the folder, replaced whole."""
        from optimizer.export import export_campaign
        from optimizer.export_formats import USUAL, chosen_formats
        from optimizer.known import known_to

        chosen = USUAL if formats is None else chosen_formats(formats)
        place = None if folder is None else Path(folder)
        with CampaignStore.open(self.run_folder) as store:
            return export_campaign(store, novelty=known_to(store).novelty, folder=place, formats=chosen).folder

    def ask(self, n: int | None = None, **options: Any) -> AskReport:
        """Hand out candidates to be measured outside, `batch_size` where no `n` is given; see `ask_campaign`."""
        from optimizer.asking import ask_campaign

        wanted = n or self.spec.batch_size
        return ask_campaign(self.spec, folder=self.folder, run_folder=self.run_folder, n=wanted, **options)

    def tell(self, results: str | Path, *, replace: bool = False) -> TellReport:
        """Take back a filled-in manifest; refused rows stand in the report. See `tell_campaign`."""
        from optimizer.telling import tell_campaign

        return tell_campaign(self.spec, Path(results), run_folder=self.run_folder, replace=replace)


def _ranking(store: CampaignStore, n: int) -> Ranking:
    from optimizer.known import known_to
    from optimizer.ranking import rank_candidates

    return rank_candidates(store, known_to(store).novelty, n)
