"""The campaign file, as data. Every error names the YAML path, the value, and the choices or the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from campaigns.candidate_list import CandidateList, written_out
from campaigns.goals import Constraint, Objective
from campaigns.ledger_address import checked_address
from campaigns.records import PROPERTY_NAME
from campaigns.search_space import SearchSpace
from campaigns.validation import Strict, fault_at, spec_errors
from campaigns.yaml_files import dump_yaml, read_yaml


class KindSpec(BaseModel):
    """`kind: NAME` and that kind's own parameters beside it; they are validated when the kind is loaded."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str = Field(description="The name of a kind; `optimize kinds` lists them.")

    @model_validator(mode="before")
    @classmethod
    def _bare_kind(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": value}
        if not isinstance(value, dict | KindSpec):
            raise ValueError(f"{value!r} is no kind; write its name, or {{kind: NAME}} with its parameters")
        if isinstance(value, dict) and "kind" not in value:
            given = f"among {', '.join(map(str, value))}" if value else "in {}"
            raise ValueError(f"there is no `kind` {given}; write {{kind: NAME}} with its parameters")
        return value

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


class Rule(Strict):
    """Who may enter an oracle, by a property measured before: bounds, or a share of what earlier rounds measured."""

    min: float | None = Field(None, allow_inf_nan=False, description="Not below this.")
    max: float | None = Field(None, allow_inf_nan=False, description="Not above this.")
    highest: float | None = Field(None, gt=0, lt=1, description="Among the highest share so far, like 0.25.")
    lowest: float | None = Field(None, gt=0, lt=1, description="Among the lowest share so far, like 0.25.")

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        if not isinstance(value, dict | Rule) or not value:
            raise ValueError(f"{value!r} is no rule; write {{max: NUMBER}}, {{min: NUMBER}} or {{highest: 0.25}}")
        return value

    @model_validator(mode="after")
    def _possible(self) -> Rule:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} lies above max {self.max}; swap them")
        if self.highest is not None and self.lowest is not None:
            raise ValueError(f"asks for highest {self.highest} and lowest {self.lowest} at once; take one of them out")
        return self


class OracleSpec(KindSpec):
    """An oracle, with the rule and the budget of its own beside the parameters of its kind."""

    only_if: dict[str, Rule] = Field(
        default_factory=dict,
        description="Who may enter, by properties measured before, like {energy_above_hull_ev_atom: {max: 0.2}}.",
    )
    max_calls: int | None = Field(None, ge=1, description="How many candidates may enter in the whole campaign.")


class Refinement(Strict):
    """When the generator is retrained: every so many rounds, or after so many rounds without improvement."""

    every: int | None = Field(None, ge=1, description="Retrain after every so many rounds.")
    stalled_rounds: int | None = Field(
        None, ge=1, description="Retrain after so many rounds without a better feasible candidate."
    )

    @model_validator(mode="after")
    def _one(self) -> Refinement:
        if (self.every is None) == (self.stalled_rounds is None):
            given = "neither" if self.every is None else f"every {self.every} and stalled_rounds {self.stalled_rounds}"
            raise ValueError(f"has {given}; give one of `every` and `stalled_rounds`, or write `refine: off`")
        return self


class Budget(Strict):
    """When to stop. One oracle call is one candidate entering the dearest stage of the cascade."""

    oracle_calls: int = Field(
        ge=1, le=1_000_000, description="Candidates that may enter the dearest oracle; failed ones count."
    )
    hours: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Wall-clock limit over all sessions, in hours."
    )


class Export(Strict):
    """What `optimize export` writes."""

    top: int = Field(20, ge=1, description="How many candidates get a rank and a file.")
    known: bool = Field(False, description="Also rank crystals that turn out to be known materials.")


def _refine_form(value: Any) -> str:
    return "off" if value == "off" else "schedule"


LARGE_BATCH = 16  # from here on each place of a batch is a draw of its own, and none waits for those before it


class CampaignSpec(Strict):
    """One campaign, as written in its YAML file."""

    name: str = Field(
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$",
        description="Names the run folder: letters, digits, '_', '.' and '-', at most 64.",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="The same seed proposes the same crystals.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where models and potentials compute.")
    workers: int | None = Field(None, ge=1, le=1024, description="Oracle processes; one per core where absent.")
    executor: KindSpec = Field(KindSpec(kind="local"), description="Where candidates are evaluated.")
    ledger: str | None = Field(
        None,
        description="A PostgreSQL database that several hosts share, like postgresql://me@host/materials; a file of "
        "the run folder where absent. Passwords come from ~/.pgpass or PGPASSWORD.",
    )
    space: SearchSpace = Field(SearchSpace(), description="What may be proposed.")
    generator: KindSpec = Field(KindSpec(kind="wyckoff_vae"), description="Crystals to latents and back.")
    start: tuple[KindSpec, ...] = Field(
        (KindSpec(kind="generator_samples"),), min_length=1, description="Where the first crystals come from."
    )
    oracles: tuple[OracleSpec, ...] = Field(
        min_length=1, description="What measures a crystal, in order; each sees what the one before it returned."
    )
    cache: str | None = Field(
        None, min_length=1, description="Folder of oracle answers to share; the run folder's own where absent."
    )
    references: tuple[str, ...] = Field(
        (),
        description="Tables of your own known crystals, made by `optimize references build`; beside the bundled one.",
    )
    objectives: dict[str, Objective] = Field(
        min_length=1,
        max_length=2,
        description="One or two properties, each `maximize`, `minimize` or `{target: NUMBER}`.",
    )
    constraints: dict[str, Constraint] = Field(
        default_factory=dict, description="Properties a feasible crystal keeps within `{min: , max: }`."
    )
    surrogate: KindSpec = Field(KindSpec(kind="exact_gp"), description="Latents to a posterior.")
    descriptors: bool = Field(
        True, description="Give the surrogate composition and bonding of the decoded crystal beside its latent."
    )
    candidates: CandidateList | None = Field(
        None, description="Crystals of your own that may be proposed, too: a path, or {path: FILE, only: true}."
    )
    propose_known: bool = Field(False, description="May known materials be proposed, too?")
    prior_mean: bool = Field(
        True, description="Begin with what cgcnn's networks guess; the generator's guesses are inputs."
    )
    batch_size: int = Field(8, ge=1, le=1024, description="Candidates proposed per round.")
    schedule: Literal["rounds", "async"] = Field(
        "rounds", description="rounds: propose batch_size, measure all, again. async: a free worker never waits."
    )
    acquisition: KindSpec = Field(
        KindSpec(kind="log_nei"), description="Posterior to the next batch; thompson for batches of 16 and more."
    )
    pool_size: int = Field(
        1024, ge=1, le=100_000, description="Latents decoded and screened per round, to choose the batch from."
    )
    refine: Annotated[
        Annotated[Literal["off"], Tag("off")] | Annotated[Refinement, Tag("schedule")],
        Discriminator(_refine_form),
    ] = Field("off", description="When the generator is retrained: off, {every: N} or {stalled_rounds: N}.")
    budget: Budget = Field(description="When to stop, like {oracle_calls: 48}.")
    export: Export = Field(Export(), description="What `optimize export` writes.")

    @property
    def only_listed(self) -> bool:
        """Nothing but what stands in `candidates` may be proposed."""
        return self.candidates is not None and self.candidates.only

    @model_validator(mode="before")
    @classmethod
    def _large_batches_are_drawn(cls, value: Any) -> Any:
        if isinstance(value, dict) and "acquisition" not in value:
            size = value.get("batch_size")
            if isinstance(size, int) and size >= LARGE_BATCH:
                return {**value, "acquisition": "thompson"}
        return value

    @model_validator(mode="before")
    @classmethod
    def _a_list_gives_its_own_start(cls, value: Any) -> Any:
        return written_out(value)

    @field_validator("start", "oracles", "references", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | dict) else value

    @model_validator(mode="after")
    def _pool_holds_a_batch(self) -> CampaignSpec:
        if self.pool_size < self.batch_size:
            raise fault_at(
                "pool_size",
                f"{self.pool_size} is smaller than batch_size {self.batch_size}; raise it, or lower batch_size",
            )
        return self

    @model_validator(mode="after")
    def _refines_between_rounds(self) -> CampaignSpec:
        if self.schedule == "async" and self.refine != "off":
            raise fault_at("schedule", "'async' has no rounds to refine between; write `refine: off`, or `rounds`")
        return self

    @model_validator(mode="after")
    def _no_oracle_twice(self) -> CampaignSpec:
        for place, oracle in enumerate(self.oracles):
            if (first := self.oracles.index(oracle)) < place:
                raise fault_at(
                    f"oracles.{place}", f"{oracle.kind!r} is the same as oracles.{first}; take one of them out"
                )
        return self

    @model_validator(mode="after")
    def _targets_are_feasible(self) -> CampaignSpec:
        for name, goal in self.objectives.items():
            bound = self.constraints.get(name)
            if bound is None or goal.target is None:
                continue
            for sign, limit in (("below min", bound.min), ("above max", bound.max)):
                if limit is not None and (goal.target < limit if "min" in sign else goal.target > limit):
                    raise fault_at(
                        f"objectives.{name}.target",
                        f"{goal.target:g} lies {sign} {limit:g} of constraints.{name}; move one of them",
                    )
        return self

    @field_validator("ledger")
    @classmethod
    def _holds_no_secret(cls, value: str | None) -> str | None:
        return None if value is None else checked_address(value)

    @field_validator("refine", mode="before")
    @classmethod
    def _false_is_off(cls, value: Any) -> Any:
        return "off" if value is False else value

    @field_validator("objectives", "constraints")
    @classmethod
    def _property_names(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not PROPERTY_NAME.match(name):
                raise ValueError(f"{name!r} is no property name; write it like bulk_modulus_gpa")
        return value


def load_spec(path: Path) -> CampaignSpec:
    """Read a campaign file.

    Raises UserError where the file is missing, empty or not YAML (tags that would build objects are refused),
    and SpecError naming the YAML path, the value and the remedy where its content is wrong.
    """
    return parse_spec(read_yaml(path))


def dump_spec(spec: CampaignSpec) -> str:
    """The campaign as YAML, every default written out; `load_spec` reads it back as the same spec."""
    return dump_yaml(spec.model_dump(mode="json"))


def parse_spec(data: dict[str, Any]) -> CampaignSpec:
    """Validate already-loaded YAML. Raises SpecError for the first fault."""
    try:
        return CampaignSpec.model_validate(data)
    except ValidationError as error:
        raise spec_errors(error, model=CampaignSpec)[0] from None


__all__ = [
    "CampaignSpec",
    "KindSpec",
    "OracleSpec",
    "Rule",
    "Strict",
    "dump_spec",
    "load_spec",
    "parse_spec",
    "spec_errors",
]
