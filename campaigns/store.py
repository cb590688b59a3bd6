"""The ledger of one campaign: the only truth about what was spent and seen.

    runs/<name>/campaign.yaml    resolved copy of the spec, for reading; the ledger holds the one that counts
                ledger.sqlite    tables.py; or ledger.url, which names a database that has them, see places.py
                artifacts/       artifacts.py
                export/          written by the optimizer

No other module touches the database. Every method is one transaction. SQLite runs with a write-ahead log and
`synchronous=FULL`: what a method has returned from survives a power cut, what was interrupted leaves nothing.
PostgreSQL does the same, and lets processes on several hosts take part: see postgresql.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import DatabaseError, OperationalError

from campaigns import leases
from campaigns.artifacts import Artifacts, write_durably
from campaigns.awaited import end_awaited, hand_out, read_awaited, versions_awaited, write_awaited
from campaigns.differences import check_same_oracles, spec_changes
from campaigns.errors import CampaignLockedError, LedgerError
from campaigns.ledger import Awaited, Claimed, Event, GeneratorRecord, Latent, Lease, RoundRecord, Spent
from campaigns.migrations import create_schema, migrate
from campaigns.owner import Owner
from campaigns.places import connect_ledger, create_ledger
from campaigns.records import Candidate, StageOutcome
from campaigns.rows import candidate_row, latent_rows, outcome_rows, read_candidate, read_outcomes
from campaigns.spec import CampaignSpec, dump_spec, parse_spec
from campaigns.statements import (
    answered_by,
    calls_of,
    drop_outcome,
    event_row,
    insert_candidates,
    insert_generator,
    meta_entry,
    now,
    outcomes_of,
    phase_done,
    proposed_crystal,
    replace_latents,
    spent_of,
    to_place,
)
from campaigns.tables import candidates, events, generators, latents, meta, outcomes, rounds

AT_ONCE = 500  # candidates with everything that is told of them


class CampaignStore:
    """One campaign on disk. Make one with `create` or `open`; use it as a context manager or call `close`."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        """For `create` and `open` only."""
        self.folder = folder
        self.artifacts = Artifacts(folder / "artifacts")
        self.shared = leases.is_shared(engine)  # processes on other hosts may take part
        self._engine = engine
        self._mine: Owner | None = None  # while this process drives or takes part
        self._takes_part = False
        with self._read() as connection:
            self._spec = parse_spec(meta_entry(connection, "spec"))
            self._dearest_stage: str = meta_entry(connection, "dearest_stage")
            self._provenance: dict[str, str] = meta_entry(connection, "provenance")

    # -- opening and closing

    @classmethod
    def create(
        cls,
        folder: Path,
        spec: CampaignSpec,
        *,
        provenance: Mapping[str, str],
        dearest_stage: str | None = None,
    ) -> CampaignStore:
        """A new campaign in `folder`, which may exist. The ledger is named last: none is ever seen half made.

        `dearest_stage` is the oracle kind whose entries count as calls; by default the spec's last.
        Raises LedgerError where the folder holds a campaign already or cannot be written.
        """
        entries = {
            "spec": spec.model_dump(mode="json"),
            "provenance": dict(provenance),
            "dearest_stage": dearest_stage or spec.oracles[-1].kind,
            "created_at": now(),
        }

        def fill(connection: Connection) -> None:
            create_schema(connection, version("latentore"))
            connection.execute(insert(meta), [{"key": key, "value": entries[key]} for key in entries])

        create_ledger(folder, spec, fill)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> CampaignStore:
        """An existing campaign. Raises LedgerError where there is none, or a newer latentore wrote it."""
        engine, place = connect_ledger(folder)
        try:
            with engine.execution_options(begin="IMMEDIATE").begin() as connection:
                migrate(connection, place, version("latentore"))
            store = cls(folder, engine)
        except DatabaseError as error:
            engine.dispose()
            raise LedgerError(
                f"{place}: cannot be used ({error.orig}).", "Check that it is there, and its permissions."
            ) from None
        except BaseException:
            engine.dispose()
            raise
        store._heal_copy()
        return store

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def __enter__(self) -> CampaignStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- the spec

    @property
    def spec(self) -> CampaignSpec:
        """The spec that counts, with the latest budget, export, workers, device, cache and executor."""
        return self._spec

    @property
    def provenance(self) -> Mapping[str, str]:
        """Versions and origins noted when the campaign was created."""
        return self._provenance

    @property
    def dearest_stage(self) -> str:
        """The oracle kind whose entries count as calls."""
        return self._dearest_stage

    def adopt(self, spec: CampaignSpec, oracles: Mapping[str, str] = MappingProxyType({})) -> bool:
        """Go on with `spec` and these oracles, stage -> version; True where it changes anything.

        Only MAY_CHANGE may differ; a change is an event and goes into the resolved copy. Raises LedgerError naming
        the first other key that differs, or an oracle with another version than that whose values are here: the
        ledger would no longer be the record of one campaign.
        """
        changed = self._differences(spec, oracles)
        if not changed:
            return False
        message = "; ".join(f"{where}: {was!r} -> {value!r}" for where, was, value in changed)
        with self._write() as connection:
            connection.execute(update(meta).where(meta.c.key == "spec").values(value=spec.model_dump(mode="json")))
            connection.execute(insert(events), event_row("spec_changed", message, {}))
        self._spec = spec
        self._heal_copy()
        return True

    def _differences(self, spec: CampaignSpec, oracles: Mapping[str, str]) -> list[tuple[str, Any, Any]]:
        with self._read() as connection:
            check_same_oracles(answered_by(connection), oracles, self.folder)
        return spec_changes(self._spec, spec, self.folder)

    def _heal_copy(self) -> None:
        """Write campaign.yaml where it is missing or stale (a kill between the ledger and the copy)."""
        path, text = self.folder / "campaign.yaml", dump_spec(self._spec).encode()
        if not path.is_file() or path.read_bytes() != text:
            write_durably(path, text)

    # -- one driver at a time

    @contextmanager
    def lock(self, *, take_over: bool = False) -> Iterator[None]:
        """Drive this campaign alone. Lock and leases of a process that is known to be gone are dropped.

        Raises CampaignLockedError naming pid and host of the process that drives it, or that still has one of its
        candidates in hand, unless `take_over`. In a shared ledger others may have some: see `take_part`.
        """
        mine = Owner.this_process()

        def given_up(lease: Lease, holder: Owner | None) -> bool:
            """In a shared ledger, others than the last driver may go on with what they have."""
            return holder is not None and lease.owner.is_process(holder) if self.shared else take_over

        with self._write() as connection:
            holder = leases.read_lock(connection)
            if holder is not None and holder.may_live and not take_over:
                raise self._locked(holder, "drives this campaign")
            held = leases.keep_leases(connection, lambda lease: lease.may_live and not given_up(lease, holder))
            others = [lease for lease in held if not lease.owner.is_process(mine)]
            if others and not self.shared:
                raise self._locked(others[0].owner, f"has {others[0].candidate_id} in hand")
            leases.write_lock(connection, mine)
        self._mine = mine
        try:
            self.artifacts.sweep()
            yield
        finally:
            self._mine = None
            with self._write() as connection:
                leases.end_leases(connection, mine)
                if leases.read_lock(connection) == mine:
                    leases.write_lock(connection, None)

    def _locked(self, holder: Owner, does: str) -> CampaignLockedError:
        return CampaignLockedError(
            f"{self.folder}: process {holder.pid} on {holder.host} {does} since {holder.since}.",
            "Wait for it or stop it; where it is surely gone, run again with --take-over.",
        )

    @property
    def driver(self) -> Owner | None:
        """The process that drives the campaign now, as far as can be told."""
        with self._read() as connection:
            owner = leases.read_lock(connection)
        return owner if owner and owner.may_live else None

    @property
    def let_go(self) -> bool:
        """Whether the last driver ended in order; one that was killed, or is silent, may be run again."""
        with self._read() as connection:
            return leases.read_lock(connection) is None

    def lease(self, candidate_id: str) -> None:
        """Note that this process, which holds the lock, has the candidate in hand; `record` ends it.

        Raises CampaignLockedError where another process has taken the campaign over.
        """
        with self._write() as connection:
            leases.write_lease(connection, candidate_id, self._driving(connection))

    def _driving(self, connection: Connection) -> Owner:
        holder = leases.read_lock(connection)
        if self._mine is None or holder != self._mine:
            raise CampaignLockedError(
                f"{self.folder}: {f'process {holder.pid} on {holder.host}' if holder else 'nobody'} drives this "
                "campaign now.",
                "It was taken over; everything measured here is kept.",
            )
        return self._mine

    @contextmanager
    def take_part(self, spec: CampaignSpec, oracles: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
        """Measure what the driver of this campaign proposes: `claim` and `record`, with `renew_leases` meanwhile.

        Raises LedgerError where the ledger lies in a file, which one process drives, and where `spec` or `oracles`
        differ in what decides a number, as `adopt` does.
        """
        if not self.shared:
            raise LedgerError(
                f"{self.folder}: its ledger is a file, which one process uses.", "Begin a campaign that has a `ledger`."
            )
        self._differences(spec, oracles)
        self._mine, self._takes_part = Owner.this_process(), True
        try:
            yield
        finally:
            mine, self._mine, self._takes_part = self._mine, None, False
            with self._write() as connection:
                leases.end_leases(connection, mine)

    def claim(self, round: int | None = None) -> Claimed | None:
        """Take the next candidate that nobody has in hand, of this round or of any; `record` ends it.

        None where there is none now, or what is in hand may use up the calls that are left. Raises
        CampaignLockedError where this process drove the campaign and another has taken it over.
        """
        with self._write() as connection:
            mine = self._mine if self._takes_part and self._mine else self._driving(connection)
            budget = meta_entry(connection, "spec")["budget"]["oracle_calls"]  # a driver may have changed it
            return leases.claim(connection, mine, budget - calls_of(connection, self._dearest_stage), round)

    def renew_leases(self) -> None:
        """Heartbeat of what this process has in hand. A ledger that is busy is left alone: the next one counts."""
        if (mine := self._mine) is None:
            return
        with suppress(OperationalError), self._write() as connection:
            leases.renew_leases(connection, mine)

    def leases(self) -> list[Lease]:
        """What processes that may live have in hand, in the order of proposal."""
        with self._read() as connection:
            return [lease for lease in leases.read_leases(connection) if lease.may_live]

    # -- rounds and candidates

    def finish_phase(
        self,
        round: int,
        phase: str,
        *,
        candidates: Sequence[Candidate] = (),
        failures: Mapping[str, int] | None = None,
        figures: Mapping[str, Any] | None = None,
        generator: GeneratorRecord | None = None,
        latents: Mapping[str, Mapping[str, Latent]] | None = None,
    ) -> bool:
        """Write what the phase brought and mark it done, together. False, and no change, where it was.

        `generator` is skipped where its version is there already; its artifact must be stored first. `latents`
        maps generator version to candidate id to latent, as in `add_latents`.
        """
        proposals, placed = [candidate_row(candidate) for candidate in candidates], latent_rows(latents or {})
        self._check_artifact(generator)
        with self._write() as connection:
            if phase_done(connection, round, phase):
                return False
            if proposals:
                insert_candidates(connection, proposals)
            if generator is not None:
                insert_generator(connection, generator)
            replace_latents(connection, placed)
            connection.execute(
                insert(rounds),
                {
                    "round": round,
                    "phase": phase,
                    "failures": {str(code): count for code, count in (failures or {}).items()},
                    "figures": dict(figures or {}),
                    "finished_at": now(),
                },
            )
        return True

    def phase_done(self, round: int, phase: str) -> bool:
        with self._read() as connection:
            return phase_done(connection, round, phase)

    def rounds(self) -> list[RoundRecord]:
        """Every finished phase, in the order they were finished."""
        with self._read() as connection:
            found = connection.execute(select(rounds).order_by(rounds.c.seq))
            return [RoundRecord(r.round, r.phase, r.failures, r.figures, r.finished_at) for r in found]

    def candidates(self, round: int | None = None) -> list[Candidate]:
        """In the order of proposal; of one round, or all."""
        query = select(candidates).order_by(candidates.c.seq)
        if round is not None:
            query = query.where(candidates.c.round == round)
        with self._read() as connection:
            return [read_candidate(row) for row in connection.execute(query)]

    def candidates_to_place(self, generator_version: str) -> list[Candidate]:
        """All in the order of proposal, without what was predicted, and without `z` where `latents` has one under this
        generator: of thousands in memory at once, each holds what a proposal needs of it."""
        with self._read() as connection:
            return [read_candidate(row) for row in connection.execute(to_place(generator_version))]

    def pending(self) -> list[Candidate]:
        """Proposed and without outcome, in the order of proposal."""
        measured = select(outcomes.c.candidate_id)
        query = select(candidates).where(candidates.c.id.not_in(measured)).order_by(candidates.c.seq)
        with self._read() as connection:
            return [read_candidate(row) for row in connection.execute(query)]

    # -- outcomes

    def record(
        self,
        candidate_id: str,
        stages: Sequence[StageOutcome],
        *,
        package_versions: str | None = None,
        replace: bool = False,
    ) -> bool:
        """Write one candidate's way through the cascade. False, and no change, where it was there.

        With `replace` what was there gives way: it is kept as an event, and latents found for it are dropped.
        Raises ValueError for an unknown candidate, no stages, or a value that is not a finite number.
        """
        with self._write() as connection:
            known = select(outcomes).where(outcomes.c.candidate_id == candidate_id).order_by(outcomes.c.position)
            before = connection.execute(known).all()
            versions = package_versions or versions_awaited(connection, candidate_id)
            versions = versions or (before[0].package_versions if before else None)
            rows = outcome_rows(candidate_id, stages, proposed_crystal(connection, candidate_id), versions)
            if before:
                if not replace:
                    return False
                note = event_row(
                    "replaced", f"{candidate_id}: another outcome was told", {"was": drop_outcome(connection, before)}
                )
                connection.execute(insert(events), note)
            connection.execute(insert(outcomes), rows)
            leases.end_lease(connection, candidate_id)
            end_awaited(connection, candidate_id)
        return True

    def await_outside(
        self, candidate_id: str, stages: Sequence[StageOutcome], *, package_versions: str | None = None
    ) -> None:
        """Note what was measured of the candidate here; the rest comes from outside and ends in `record`."""
        with self._write() as connection:
            proposed = proposed_crystal(connection, candidate_id)
            write_awaited(connection, candidate_id, stages, proposed, package_versions)
            leases.end_lease(connection, candidate_id)

    def handed_out(self, candidate_ids: Sequence[str]) -> None:
        """Note that files for these awaited candidates were written."""
        with self._write() as connection:
            hand_out(connection, candidate_ids)

    def awaited(self) -> list[Awaited]:
        """What waits for values from outside, in the order of proposal."""
        with self._read() as connection:
            return read_awaited(connection)

    def outcomes(self, among: Sequence[str] | None = None) -> dict[str, tuple[StageOutcome, ...]]:
        """Candidate id -> its stages in order, of every evaluated candidate or these, in the order of proposal."""
        with self._read() as connection:
            return read_outcomes(connection.execute(outcomes_of(among)))

    def evaluated(self) -> Iterator[tuple[Candidate, tuple[StageOutcome, ...]]]:
        """Every evaluated candidate and its stages, in the order of proposal. Read in parts, a transaction each: who
        keeps little of each holds little of a long campaign.
        """
        last = -1
        while True:
            query = select(candidates).where(candidates.c.seq > last).order_by(candidates.c.seq).limit(AT_ONCE)
            with self._read() as connection:
                rows = connection.execute(query).all()
            if not rows:
                return
            last, found = rows[-1].seq, self.outcomes([row.id for row in rows])
            yield from ((read_candidate(row), found[row.id]) for row in rows if row.id in found)

    def spent(self) -> Spent:
        """What has been spent so far."""
        with self._read() as connection:
            return spent_of(connection, self._dearest_stage)

    # -- latents and generators

    def add_latents(self, generator_version: str, latents: Mapping[str, Latent]) -> None:
        """Keep the latent of each candidate id under this generator, replacing any that was there."""
        rows = latent_rows({generator_version: latents})
        with self._write() as connection:
            replace_latents(connection, rows)

    def latents(self, generator_version: str) -> dict[str, Latent]:
        """Candidate id -> its latent under this generator, in the order of proposal."""
        query = (
            select(latents.c.candidate_id, latents.c.z, latents.c.stands_for)
            .join(candidates, candidates.c.id == latents.c.candidate_id)
            .where(latents.c.generator_version == generator_version)
            .order_by(candidates.c.seq)
        )
        with self._read() as connection:
            return {name: Latent(z, stands_for) for name, z, stands_for in connection.execute(query)}

    def add_generator(self, version: str, artifact_sha: str | None, figures: Mapping[str, Any], accepted: bool) -> bool:
        """Note a generator; its artifact must be stored first. False, no change, where it was there."""
        record = GeneratorRecord(version, artifact_sha, figures, accepted)
        self._check_artifact(record)
        with self._write() as connection:
            return insert_generator(connection, record)

    def _check_artifact(self, record: GeneratorRecord | None) -> None:
        if record is not None and record.artifact is not None:
            self.artifacts.path(record.artifact)

    def generators(self) -> list[GeneratorRecord]:
        """In the order they were added."""
        with self._read() as connection:
            found = connection.execute(select(generators).order_by(generators.c.seq))
            return [GeneratorRecord(r.version, r.artifact, r.figures, r.accepted, r.added_at) for r in found]

    # -- events

    def event(self, kind: str, message: str, **data: Any) -> None:
        """Note something a reader should know; `data` is JSON-able."""
        with self._write() as connection:
            connection.execute(insert(events), event_row(kind, message, data))

    def events(self) -> list[Event]:
        """In the order they happened."""
        with self._read() as connection:
            found = connection.execute(select(events).order_by(events.c.seq))
            return [Event(r.at, r.kind, r.message, r.data) for r in found]

    # -- transactions

    def _read(self) -> AbstractContextManager[Connection]:
        return self._engine.begin()

    def _write(self) -> AbstractContextManager[Connection]:
        # IMMEDIATE takes SQLite's write lock at once: what reads, then writes never has to be repeated.
        return self._engine.execution_options(begin="IMMEDIATE").begin()
