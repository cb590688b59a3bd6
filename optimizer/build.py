"""Spec -> objects: the only constructor. Everything that can be refused is refused here, before anything is spent."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch

from campaigns.errors import SpecError, UnknownChoiceError, UserError
from campaigns.kinds import build_kind
from campaigns.postgresql import check_driver, schema_of
from campaigns.search_space import SearchSpace
from campaigns.spec import CampaignSpec
from generative.grammar import Grammar
from generative.protocols import Generator, GeneratorContext
from optimizer.admission import in_words
from optimizer.candidate_list import CandidateList, load_candidates
from optimizer.cascade import Cascade
from optimizer.evaluation import Evaluator
from optimizer.gates import check_gates
from optimizer.objective import CampaignObjective
from optimizer.oracles.external import external_place
from optimizer.protocols import Acquisition, ExecutorContext, OracleContext, Start, StartContext, Workers
from optimizer.references import ReferenceTable
from optimizer.result_cache import open_cache
from surrogates.protocols import Surrogate, SurrogateContext

OWN_REFERENCES = "own_references"  # in a campaign's provenance
PACKAGES = ("latentore", "torch", "botorch", "gpytorch", "pymatgen", "ase", "chgnet", "moyopy", "numpy")


@dataclass(frozen=True)
class Parts:
    """Everything a campaign runs with."""

    spec: CampaignSpec
    folder: Path  # of the campaign file; relative paths start here
    device: torch.device
    objective: CampaignObjective
    references: ReferenceTable
    listed: CandidateList | None  # crystals that may be proposed, besides
    base: Generator  # as the spec names it
    generator: Generator  # the one in use: `base`, or what a refinement made of it
    starts: tuple[tuple[str, Start], ...]
    cascade: Cascade
    surrogate: Surrogate
    acquisition: Acquisition
    workers: Workers

    @property
    def external(self) -> int | None:
        """Where among the oracles values come from outside."""
        return external_place(self.spec)

    def evaluator(self, run_folder: Path) -> Evaluator:
        """Of the oracles that compute here, with the answers that lie in the spec's cache, or the run folder's own."""
        shared = self.spec.cache is not None
        cache = open_cache(self.folder / str(self.spec.cache) if shared else run_folder / "cache", shared=shared)
        stop = self.external
        here = replace(self.cascade, stages=self.cascade.stages[:stop])
        return Evaluator(here, self.spec.oracles[:stop], self.oracle_context, self.workers, cache)

    @property
    def oracle_context(self) -> OracleContext:
        return oracle_context(self.spec, self.folder, self.device)

    @property
    def provenance(self) -> dict[str, str]:
        """Versions of whatever decides a number."""
        found = {name: version(name) for name in PACKAGES}
        found["generator"] = self.base.version
        found["reference_table"] = self.references.version
        if self.listed is not None:
            found["candidates"] = f"{len(self.listed.crystals)} crystals, {self.listed.digest}"
        found[OWN_REFERENCES] = json.dumps(own_references(self.spec, self.folder))
        return found


def build(spec: CampaignSpec, folder: Path, *, proposes: bool = True) -> Parts:
    """Resolve every kind and check that the campaign can finish. `proposes` is not so where a worker alone is built.

    Raises SpecError naming the YAML path, the value, and the choices or the remedy.
    """
    device = _device(spec.device)
    if spec.ledger is not None:
        check_driver()
        schema_of(spec.name)
    objective = CampaignObjective.from_spec(spec)
    references = load_references(spec, folder)
    cascade = Cascade.build(spec.oracles, oracle_context(spec, folder, device), spec.space)
    _check_properties(spec, cascade)
    _check_order(cascade)
    check_gates(spec, cascade)
    _check_external(spec, cascade)
    _check_schedule(spec, cascade)
    generator: Generator = build_kind("generator", spec.generator, GeneratorContext(device, str(folder)), "generator")
    if not Grammar(spec.space).group_mask().any():
        raise _no_space_group(spec.space)
    context = StartContext(str(folder), objective.properties, cascade.sources)
    starts = tuple(
        (each.kind, build_kind("start", each, context, f"start.{index}")) for index, each in enumerate(spec.start)
    )
    # who proposes for other hosts while it measures must not do both in one thread
    apart = proposes and spec.ledger is not None and spec.schedule == "async"
    return Parts(
        spec=spec,
        folder=folder,
        device=device,
        objective=objective,
        references=references,
        listed=_listed(spec, folder, references, generator) if proposes else None,
        base=generator,
        generator=generator,
        starts=starts,
        cascade=cascade,
        surrogate=build_kind("surrogate", spec.surrogate, SurrogateContext(device, objective.outcomes), "surrogate"),
        acquisition=build_kind("acquisition", spec.acquisition, None, "acquisition"),
        workers=build_kind("executor", spec.executor, ExecutorContext(spec.workers, apart), "executor"),
    )


def _listed(spec: CampaignSpec, folder: Path, references: ReferenceTable, generator: Generator) -> CandidateList | None:
    try:
        listed = load_candidates(spec, folder)
    except ValueError as error:
        raise SpecError("candidates", " ".join(str(error).split())) from error
    if listed is not None and spec.only_listed:
        kept, refused = listed.screened(generator, spec.space, references, allow_known=spec.propose_known)
        if not kept:
            known = "" if spec.propose_known else ", or write `propose_known: true`"
            raise SpecError(
                "candidates", f"none of its crystals may be proposed: {in_words(refused)}.", f"Widen the space{known}."
            )
    return listed


def own_references(spec: CampaignSpec, folder: Path) -> tuple[str, ...]:
    """Absolute paths of the campaign's own tables of known crystals."""
    return tuple(str((folder / path).resolve()) for path in spec.references)


def load_references(spec: CampaignSpec, folder: Path) -> ReferenceTable:
    """The bundled table and the campaign's own. Raises SpecError where one cannot be read."""
    paths = own_references(spec, folder)
    for index, path in enumerate(paths):
        try:
            ReferenceTable.load(path)
        except UserError as error:
            raise SpecError(f"references.{index}", error.message, error.remedy) from error
    return ReferenceTable.load(own=paths)


def oracle_context(spec: CampaignSpec, folder: Path, device: torch.device) -> OracleContext:
    """What the campaign's oracles are built with."""
    return OracleContext(device=device.type, folder=str(folder), references=own_references(spec, folder))


def _check_properties(spec: CampaignSpec, cascade: Cascade) -> None:
    for first, later, prop, unit in cascade.measured_again():
        if unit != prop.unit:
            raise SpecError(
                "oracles",
                f"{first} measures {prop.name} in {unit!r}, {later} in {prop.unit!r}; the later would replace it.",
                "Give one of them another name.",
            )
    measured = {p.name for p in cascade.properties}
    for section, names in (("objectives", spec.objectives), ("constraints", spec.constraints)):
        for name in names:
            if name not in measured:
                raise UnknownChoiceError(
                    f"{section}.{name}",
                    name,
                    sorted(measured),
                    "Add the oracle that measures it to `oracles`.",
                )


def _check_order(cascade: Cascade) -> None:
    """What is measured on one geometry must not be read beside the crystal that a later stage makes of it."""
    stages = cascade.stages
    last = {p.name: place for place, stage in enumerate(stages) for p in stage.oracle.properties}
    for place, stage in enumerate(stages):
        stale = [p.name for p in stage.oracle.properties if last[p.name] == place]
        changing = [n for n in range(place + 1, len(stages)) if getattr(stages[n].oracle, "changes_crystal", False)]
        if getattr(stage.oracle, "of_geometry", False) and stale and changing:
            raise SpecError(
                f"oracles.{place}",
                f"{stage.name!r} measures {', '.join(stale)} before {stages[changing[-1]].name!r} changes the crystal.",
                f"Put it behind oracles.{changing[-1]}.",
            )


def _check_external(spec: CampaignSpec, cascade: Cascade) -> None:
    """What is measured outside comes last, once, and is what the budget counts: whatever is handed out costs most."""
    place = external_place(spec)
    if place is None:
        return
    if place != len(spec.oracles) - 1:
        raise SpecError(
            f"oracles.{place}",
            "'external' stands before other oracles, which cannot go on before values are told.",
            "Put it last, with every property that comes from outside.",
        )
    if cascade.dearest != cascade.stages[place].name:
        raise SpecError(
            f"oracles.{place}.hours",
            f"{cascade.dearest!r} takes longer than one measurement outside, and the budget would count it.",
            "Raise the hours.",
        )


def _check_schedule(spec: CampaignSpec, cascade: Cascade) -> None:
    """Without batches there must be workers here that take one candidate at a time."""
    if spec.schedule != "async":
        return
    if external_place(spec) is not None:
        raise SpecError(
            "schedule",
            "'async' keeps workers of this campaign busy, and values from outside have none.",
            "Write `rounds`: `optimize ask` minds what is pending, whenever it is called.",
        )
    if cascade.together > 1:
        stage = max(cascade.stages, key=lambda each: each.together)
        raise SpecError(
            "schedule",
            f"'async' hands out one crystal at a time, and {stage.name!r} takes {stage.together} at once here.",
            "Write `rounds`, or `device: cpu`.",
        )


def _no_space_group(space: SearchSpace) -> SpecError:
    held = f"can hold a crystal of {space.n_atoms} atoms and {space.n_elements} elements"
    if space.formula is not None:
        held += f" with the formula {space.formula}"
    if space.space_groups is None:
        return SpecError("space", f"no space group {held}.", "Widen n_atoms or n_elements.")
    first = ", ".join(map(str, space.space_groups[:8]))
    groups = first if len(space.space_groups) <= 8 else f"{first} and {len(space.space_groups) - 8} more"
    return SpecError("space.space_groups", f"none of {groups} {held}.", "Widen n_atoms, or allow more space groups.")


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise SpecError("device", "'cuda' was asked for, but torch finds no GPU.", "Write `auto` or `cpu`.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
