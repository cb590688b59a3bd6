"""Taking back what was measured outside: each row of a table is recorded whole or refused with the reason."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from campaigns.errors import SpecError
from campaigns.kinds import build_kind
from campaigns.records import (
    UNCERTAINTIES,
    Candidate,
    Failed,
    FailureCode,
    Measured,
    Outcome,
    StageOutcome,
    final_crystal,
    first_failure,
)
from campaigns.spec import CampaignSpec
from campaigns.store import CampaignStore
from optimizer.manifest import Refusal, Told, read_results
from optimizer.oracles.external import KIND, ExternalOracle, external_place

if TYPE_CHECKING:
    from pymatgen.core import Structure

Stages = tuple[StageOutcome, ...]
LARGEST_RELAXED_BYTES = 200_000_000  # of a vasprun.xml


@dataclass
class TellReport:
    """What became of the rows. `refused` maps the row's number in a spreadsheet to the refusal."""

    recorded: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)  # told before, with the same values
    outside: dict[str, str] = field(default_factory=dict)  # recorded, but the relaxed crystal left the space, and how
    refused: dict[int, Refusal] = field(default_factory=dict)
    empty: int = 0
    unread: tuple[str, ...] = ()
    awaited: int = 0  # candidates still without values


class _Refused(Exception):
    pass


def tell_campaign(
    spec: CampaignSpec, path: Path, *, run_folder: Path, replace: bool = False, take_over: bool = False
) -> TellReport:
    """Record what the table says, row by row; in any order, in parts, more than once.

    A row that says the same as before changes nothing; one that says otherwise is refused unless `replace`. Raises
    UserError for a table that cannot be read at all, a campaign that asks nobody, and a run folder without ledger.
    """
    oracle = external_oracle(spec)
    results = read_results(path, oracle.properties)
    report = TellReport(empty=results.empty, unread=results.unread)
    with CampaignStore.open(run_folder) as store, store.lock(take_over=take_over):
        store.adopt(spec)
        taker = _Taker(spec, store, oracle, path.parent, replace)
        for number, row in results.rows.items():
            if isinstance(row, Refusal):
                report.refused[number] = row
                continue
            try:
                getattr(report, taker.take(number, row)).append(row.candidate_id)
                if left := first_failure(taker.outcomes[row.candidate_id][-1:]) if row.relaxed_file else None:
                    report.outside[row.candidate_id] = left.message
            except _Refused as error:
                report.refused[number] = Refusal(row.candidate_id, str(error))
        report.awaited = len(store.awaited())
    return report


def external_oracle(spec: CampaignSpec) -> ExternalOracle:
    """The oracle whose values come from outside. Raises SpecError where the campaign has none."""
    place = external_place(spec)
    if place is None:
        raise SpecError(
            "oracles",
            "every property is computed here: there is nothing to ask or to tell.",
            f"Use `optimize run`, or add {{kind: {KIND}, properties: {{NAME: UNIT}}}}.",
        )
    oracle: ExternalOracle = build_kind("oracle", spec.oracles[place], None, f"oracles.{place}")
    return oracle


class _Taker:
    def __init__(
        self, spec: CampaignSpec, store: CampaignStore, oracle: ExternalOracle, folder: Path, replace: bool
    ) -> None:
        self.spec, self.store, self.oracle, self.folder, self.replace = spec, store, oracle, folder, replace
        self.candidates: Mapping[str, Candidate] = {c.id: c for c in store.candidates()}
        self.waiting: Mapping[str, Stages] = {each.candidate_id: each.stages for each in store.awaited()}
        self.outcomes = store.outcomes()
        self.rows: dict[str, int] = {}  # which row of this table told it

    def take(self, number: int, row: Told) -> str:
        """Record one row: the field of the report it belongs to. Raises _Refused, with nothing written."""
        name = row.candidate_id
        if name not in self.candidates:
            raise _Refused(f"{name!r} was never proposed in {self.spec.name}")
        before = self.outcomes.get(name)
        stages = self._stages(row, self._computed_here(name, before))
        if before is not None:
            if _says(before) == _says(stages):
                self.rows.setdefault(name, number)
                return "known"
            if name in self.rows:
                raise _Refused(f"row {self.rows[name]} of the same table says otherwise")
            if not self.replace:
                raise _Refused("was told before and differs; --replace makes this the one that counts")
        self.store.record(name, stages, replace=self.replace)
        self.rows[name] = number
        self.outcomes[name] = stages
        return "recorded" if before is None else "replaced"

    def _computed_here(self, name: str, before: Stages | None) -> Stages:
        """The stages in front of the external one."""
        if before is None:
            if name not in self.waiting:
                raise _Refused("was proposed but never handed out; `optimize ask` does that")
            return self.waiting[name]
        here = [n for n, stage in enumerate(before) if stage.stage == KIND]
        if not here:
            failed = first_failure(before)
            why = f"failed here ({failed.code.value})" if failed else "came with its values"
            raise _Refused(f"{why} and is not measured outside")
        return before[: here[0]]

    def _stages(self, row: Told, computed: Stages) -> Stages:
        crystal = final_crystal(computed, self.candidates[row.candidate_id].crystal)
        if row.failure:
            return (*computed, self._stage(_failure(row.failure)))
        relaxed = self._relaxed(row.relaxed_file, crystal) if row.relaxed_file else crystal
        details = {UNCERTAINTIES: dict(row.uncertainties)} if row.uncertainties else {}
        measured = self._stage(Measured(row.values, relaxed, details=details))
        left = _left_the_space(relaxed, self.spec) if row.relaxed_file else None
        return (*computed, measured, left) if left else (*computed, measured)

    def _stage(self, outcome: Outcome) -> StageOutcome:
        return StageOutcome(KIND, self.oracle.version, outcome)

    def _relaxed(self, name: str, crystal: Structure) -> Structure:
        import numpy as np
        from pymatgen.core import Structure

        from generative.crystal_formats import NO_CELL, one_line, possible_cell

        path = self.folder / name
        try:
            outside = not path.resolve().is_relative_to(self.folder.resolve())  # tables come from other people
            fits = not path.exists() or (path.is_file() and path.stat().st_size <= LARGEST_RELAXED_BYTES)
        except (OSError, ValueError) as error:  # a null byte, or more letters than a name may have
            raise _Refused(f"relaxed_file {name[:60]!r} cannot be looked for: {one_line(error)}") from None
        if outside:
            raise _Refused(f"relaxed_file {name!r} lies outside the table's folder; put it beside the table")
        if not fits:
            raise _Refused(f"relaxed_file {name!r} is no file of at most {LARGEST_RELAXED_BYTES:,} bytes")
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                # coordinates like 0.3333 are rounded: no news; nor is a POSCAR without elements read otherwise
                warnings.filterwarnings("ignore", message="Issues encountered while parsing CIF")
                found = Structure.from_file(path)
        except FileNotFoundError:
            raise _Refused(f"relaxed_file {name!r}: no such file beside the table") from None
        except Exception as error:  # parsers of many formats raise what they like
            raise _Refused(f"relaxed_file {name!r} cannot be read: {one_line(error)}") from None
        if not possible_cell(found):
            raise _Refused(f"relaxed_file {name!r} holds {NO_CELL}")
        given, wanted = found.composition.reduced_formula, crystal.composition.reduced_formula
        if not found.is_ordered or given != wanted:
            raise _Refused(f"relaxed_file {name!r} holds {given}, not {wanted}")
        return found.copy(site_properties={}).remove_oxidation_states()


def _left_the_space(crystal: Structure, spec: CampaignSpec) -> StageOutcome | None:
    from optimizer.cascade import left_the_space

    return left_the_space(crystal, spec.space)


def _failure(words: str) -> Failed:
    """A failure code where the teller wrote one, else `external_failure` with the words."""
    code = next((code for code in FailureCode if words.lower() == code.value), FailureCode.EXTERNAL_FAILURE)
    return Failed(code, words)


def _says(stages: Stages) -> list[object]:
    """What must be equal for two tellings to be the same."""
    told = [stage.outcome for stage in stages if stage.stage == KIND]
    return [
        (each.code, each.message) if isinstance(each, Failed) else (dict(each.values), dict(each.details), each.crystal)
        for each in told
    ]
