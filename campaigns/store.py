"""The ledger of one campaign: the only truth about what was spent and seen.

    runs/<name>/campaign.yaml    resolved copy of the spec, for reading; the ledger holds the one that counts
                ledger.sqlite    tables.py
                artifacts/       artifacts.py
                export/          written by the optimizer

No other module touches the database. Every method is one transaction. SQLite runs with a write-ahead log and
`synchronous=FULL`: what a method has returned from survives a power cut, what was interrupted leaves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, update
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from campaigns import leases
from campaigns.artifacts import Artifacts, write_durably
from campaigns.awaited import end_awaited, hand_out, read_awaited, versions_awaited, write_awaited
from campaigns.database import connect_sqlite, create_sqlite
from campaigns.differences import differences
from campaigns.errors import CampaignLockedError, LedgerError
from campaigns.ledger import Awaited, Event, GeneratorRecord, Latent, Lease, RoundRecord, Spent
from campaigns.migrations import create_schema, migrate
from campaigns.owner import Owner
from campaigns.records import Candidate, StageOutcome
from campaigns.rows import candidate_row, latent_rows, outcome_rows, read_candidate, read_outcomes
from campaigns.spec import CampaignSpec, dump_spec, parse_spec
from campaigns.statements import drop_outcome, insert_generator, proposed_crystal, replace_latents
from campaigns.tables import candidates, events, generators, latents, meta, outcomes, rounds

LEDGER = "ledger.sqlite"
MAY_CHANGE = ("budget", "export", "workers", "device", "cache", "executor")
"""Keys of a spec that may differ on resume: none of them decides which crystal comes next."""


class CampaignStore:
    """One campaign on disk. Make one with `create` or `open`; use it as a context manager or call `close`."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        """For `create` and `open` only."""
        self.folder = folder
        self.artifacts = Artifacts(folder / "artifacts")
        self._engine = engine
        self._mine: Owner | None = None  # while this process drives
        with self._read() as connection:
            self._spec = parse_spec(_meta(connection, "spec"))
            self._dearest_stage: str = _meta(connection, "dearest_stage")
            self._provenance: dict[str, str] = _meta(connection, "provenance")

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
            "created_at": _now(),
        }

        def fill(connection: Connection) -> None:
            create_schema(connection, version("latentore"))
            connection.execute(insert(meta), [{"key": key, "value": entries[key]} for key in entries])

        try:
            (folder / "artifacts").mkdir(parents=True, exist_ok=True)
            create_sqlite(folder / LEDGER, fill)
        except FileExistsError:
            raise LedgerError(f"{folder}: holds a campaign already.", "Open it, or choose another name.") from None
        except OSError as error:
            raise LedgerError(f"{folder}: cannot be written ({error.strerror}).", "Choose another folder.") from None
        except OperationalError as error:
            raise LedgerError(f"{folder}: cannot be written ({error.orig}).", "Choose another folder.") from None
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> CampaignStore:
        """An existing campaign. Raises LedgerError where there is none, or a newer latentore wrote it."""
        path = folder / LEDGER
        if not path.is_file():
            raise LedgerError(f"{folder}: holds no campaign.", "Start one with `optimize run CAMPAIGN`.")
        engine = connect_sqlite(path)
        try:
            with engine.execution_options(begin="IMMEDIATE").begin() as connection:
                migrate(connection, str(path), version("latentore"))
            store = cls(folder, engine)
        except DatabaseError as error:
            engine.dispose()
            raise LedgerError(
                f"{path}: cannot be used ({error.orig}).", "Check the file and its permissions."
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

    def adopt(self, spec: CampaignSpec) -> bool:
        """Go on with `spec`; True where it changes anything.

        Only MAY_CHANGE may differ; a change is an event and goes into the resolved copy. Raises LedgerError
        naming the first other key that differs: the ledger would no longer be the record of one campaign.
        """
        old, new = self._spec.model_dump(mode="json"), spec.model_dump(mode="json")
        changed = []
        for key in new:
            for where, was, now in differences(old[key], new[key], key):
                if key not in MAY_CHANGE:
                    raise LedgerError(
                        f"{where}: is {now!r}, but the campaign in {self.folder} was started with {was!r}.",
                        f"Change it back, or give the new campaign another `name` than {spec.name!r}.",
                    )
                changed.append((where, was, now))
        if not changed:
            return False
        message = "; ".join(f"{where}: {was!r} -> {now!r}" for where, was, now in changed)
        with self._write() as connection:
            connection.execute(update(meta).where(meta.c.key == "spec").values(value=new))
            connection.execute(insert(events), _event("spec_changed", message, {}))
        self._spec = spec
        self._heal_copy()
        return True

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
        candidates in hand, unless `take_over`.
        """
        mine = Owner.this_process()
        with self._write() as connection:
            held = leases.keep_leases(connection, lambda lease: lease.may_live and not take_over)
            holder = leases.read_lock(connection)
            if holder is not None and holder.may_live and not take_over:
                raise self._locked(holder, "drives this campaign")
            if others := [lease for lease in held if not lease.owner.is_process(mine)]:
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

    def lease(self, candidate_id: str) -> None:
        """Note that this process, which holds the lock, has the candidate in hand; `record` ends it.

        Raises CampaignLockedError where another process has taken the campaign over.
        """
        with self._write() as connection:
            holder = leases.read_lock(connection)
            if self._mine is None or holder != self._mine:
                raise CampaignLockedError(
                    f"{self.folder}: {f'process {holder.pid} on {holder.host}' if holder else 'nobody'} drives this "
                    "campaign now.",
                    "It was taken over; everything measured here is kept.",
                )
            leases.write_lease(connection, candidate_id, self._mine)

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
            if _phase_done(connection, round, phase):
                return False
            if proposals:
                self._insert_candidates(connection, proposals)
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
                    "finished_at": _now(),
                },
            )
        return True

    @staticmethod
    def _insert_candidates(connection: Connection, proposals: list[dict[str, Any]]) -> None:
        try:
            connection.execute(insert(candidates), proposals)
        except IntegrityError:
            ids = ", ".join(str(row["id"]) for row in proposals)
            raise ValueError(f"candidate ids must be unique in the campaign, among {ids} one is not") from None

    def phase_done(self, round: int, phase: str) -> bool:
        with self._read() as connection:
            return _phase_done(connection, round, phase)

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
            versions = package_versions or versions_awaited(connection, candidate_id)
            rows = outcome_rows(candidate_id, stages, proposed_crystal(connection, candidate_id), versions)
            known = select(outcomes).where(outcomes.c.candidate_id == candidate_id).order_by(outcomes.c.position)
            if before := connection.execute(known).all():
                if not replace:
                    return False
                note = _event(
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

    def outcomes(self) -> dict[str, tuple[StageOutcome, ...]]:
        """Candidate id -> its stages in order, of every evaluated candidate, in the order of proposal."""
        query = (
            select(outcomes, candidates.c.crystal.label("proposed"))
            .join(candidates, candidates.c.id == outcomes.c.candidate_id)
            .order_by(candidates.c.seq, outcomes.c.position)
        )
        with self._read() as connection:
            return read_outcomes(connection.execute(query))

    def spent(self) -> Spent:
        """What has been spent so far."""
        stage = outcomes.c.stage
        query = select(stage, func.count(), func.count(outcomes.c.failure), func.sum(outcomes.c.seconds)).group_by(
            stage
        )
        entered = select(func.count(outcomes.c.candidate_id.distinct())).where(stage == self._dearest_stage)
        with self._read() as connection:
            found = connection.execute(query.order_by(func.min(outcomes.c.position), stage)).all()
            calls = connection.execute(entered).scalar_one()
        return Spent(
            calls=calls,
            stage_counts={name: count for name, count, _, _ in found},
            stage_failures={name: failed for name, _, failed, _ in found},
            stage_seconds={name: seconds for name, _, _, seconds in found},
        )

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
            return {name: Latent(tuple(z), stands_for) for name, z, stands_for in connection.execute(query)}

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
            connection.execute(insert(events), _event(kind, message, data))

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


_REQUIRED = object()


def _meta(connection: Connection, key: str, default: Any = _REQUIRED) -> Any:
    row = connection.execute(select(meta.c.value).where(meta.c.key == key)).first()
    if row is None and default is _REQUIRED:
        raise LedgerError(f"the ledger lacks its {key}.", "Restore the run folder from a copy.")
    return default if row is None else row.value


def _phase_done(connection: Connection, round: int, phase: str) -> bool:
    query = select(rounds.c.seq).where(rounds.c.round == round, rounds.c.phase == phase)
    return connection.execute(query).first() is not None


def _event(kind: str, message: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {"at": _now(), "kind": kind, "message": message, "data": dict(data)}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
