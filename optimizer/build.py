"""Spec -> objects: the only constructor. Everything that can be refused is refused here, before anything is spent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from campaigns.errors import SpecError, UnknownChoiceError
from campaigns.kinds import build_kind
from campaigns.spec import CampaignSpec
from generative.grammar import Grammar
from generative.protocols import Generator
from optimizer.cascade import Cascade
from optimizer.executors import Evaluator
from optimizer.objective import CampaignObjective
from optimizer.protocols import Acquisition, OracleContext, Start, StartContext
from optimizer.references import ReferenceTable
from surrogates.protocols import Surrogate, SurrogateContext

PACKAGES = ("latentore", "torch", "botorch", "gpytorch", "pymatgen", "ase", "chgnet", "moyopy", "numpy")


@dataclass(frozen=True)
class Parts:
    """Everything a campaign runs with."""

    spec: CampaignSpec
    folder: Path  # of the campaign file; relative paths start here
    device: torch.device
    objective: CampaignObjective
    references: ReferenceTable
    base: Generator  # as the spec names it
    generator: Generator  # the one in use: `base`, or what a refinement made of it
    starts: tuple[tuple[str, Start], ...]
    cascade: Cascade
    surrogate: Surrogate
    acquisition: Acquisition

    @property
    def workers(self) -> int:
        return self.spec.workers or max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)

    def evaluator(self) -> Evaluator:
        return Evaluator(self.cascade, self.spec.oracles, self.oracle_context, self.workers)

    @property
    def oracle_context(self) -> OracleContext:
        return OracleContext(device=self.device.type, folder=str(self.folder))

    @property
    def provenance(self) -> dict[str, str]:
        """Versions of whatever decides a number."""
        found = {name: version(name) for name in PACKAGES}
        found["generator"] = self.base.version
        found["reference_table"] = self.references.version
        return found


def build(spec: CampaignSpec, folder: Path) -> Parts:
    """Resolve every kind and check that the campaign can finish.

    Raises SpecError naming the YAML path, the value, and the choices or the remedy.
    """
    device = _device(spec.device)
    objective = CampaignObjective.from_spec(spec)
    cascade = Cascade.build(spec.oracles, OracleContext(device=device.type, folder=str(folder)), spec.space)
    _check_properties(spec, cascade)
    generator: Generator = build_kind("generator", spec.generator, device, "generator")
    if not Grammar(spec.space).group_mask().any():
        raise SpecError(
            "space",
            "no allowed space group can hold a crystal with these atom counts.",
            "Widen n_atoms or space_groups.",
        )
    context = StartContext(str(folder), objective.properties)
    starts = tuple(
        (each.kind, build_kind("start", each, context, f"start.{index}")) for index, each in enumerate(spec.start)
    )
    return Parts(
        spec=spec,
        folder=folder,
        device=device,
        objective=objective,
        references=ReferenceTable.load(),
        base=generator,
        generator=generator,
        starts=starts,
        cascade=cascade,
        surrogate=build_kind("surrogate", spec.surrogate, SurrogateContext(device, objective.outcomes), "surrogate"),
        acquisition=build_kind("acquisition", spec.acquisition, None, "acquisition"),
    )


def _check_properties(spec: CampaignSpec, cascade: Cascade) -> None:
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


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise SpecError("device", "'cuda' was asked for, but torch finds no GPU.", "Write `auto` or `cpu`.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
