"""The campaign file, as data. Every error names the YAML path, the value, and the choices or the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema

from campaigns.candidate_list import CandidateList, written_out
from campaigns.elements import ELEMENT_GROUPS, SYMBOLS, expand_elements
from campaigns.ledger_address import checked_address
from campaigns.ranges import Range
from campaigns.records import PROPERTY_NAME
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


class Elements(Strict):
    """Which elements may occur. Entries are symbols or group names; `exclude` wins over `include`."""

    include: tuple[str, ...] | None = Field(
        None, min_length=1, description="Allowed elements and groups, like [Ti, O, halogen]; all where absent."
    )
    exclude: tuple[str, ...] = Field(
        ("radioactive", "noble_gas"),
        description="Never used, like [toxic, Pt]; wins over `include`.",
    )
    require: tuple[str, ...] = Field((), description="Elements every crystal must contain, like [O].")

    @field_validator("include", "exclude", "require")
    @classmethod
    def _known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None:
            expand_elements(value)
        return value

    @property
    def allowed(self) -> frozenset[str]:
        """The symbols left when `exclude` is taken from `include`."""
        included = SYMBOLS if self.include is None else expand_elements(self.include)
        return frozenset(included) - frozenset(expand_elements(self.exclude))

    @property
    def required(self) -> frozenset[str]:
        return frozenset(expand_elements(self.require))

    @model_validator(mode="after")
    def _possible(self) -> Elements:
        if not self.allowed:
            everything = "every element" if self.include is None else f"all of `include` [{', '.join(self.include)}]"
            raise fault_at("exclude", f"[{', '.join(self.exclude)}] removes {everything}; leave some element")
        if missing := sorted(self.required - self.allowed):
            raise fault_at(
                "require",
                f"{', '.join(missing)} is left out by `include` or `exclude`; allow it there, or drop it here",
            )
        return self


class SearchSpace(Strict):
    """What may be proposed. Elements, counts, groups, formula are masks in decoding; the rest is screened."""

    elements: Elements = Field(Elements(), description="Which may occur, like {include: [Ti, O], require: [O]}.")
    n_elements: Range = Field(Range(low=1, high=5), description="Number of different elements, [low, high].")
    n_atoms: Range = Field(Range(low=1, high=20), description="Atoms in the primitive cell, [low, high].")
    charge_neutral: bool = Field(
        False, description="Keep only formulas that smact can charge-balance; it knows rare states: some metals pass."
    )
    space_groups: tuple[Annotated[int, Field(ge=1, le=230)], ...] | None = Field(
        None, min_length=1, description="Allowed space groups by number, 1 to 230, like [62, 225]; all where absent."
    )
    min_distance_ang: float = Field(
        1.0, ge=0.5, le=4.0, description="No two atoms closer than this, periodic images included (angstrom)."
    )
    min_pair_distances_ang: dict[str, Annotated[float, Field(gt=0, le=6)]] = Field(
        default_factory=dict, description="Stricter minimum for named pairs, like {O-O: 2.0} (angstrom)."
    )
    formula: str | None = Field(None, description="A fixed reduced formula, like LiFePO4: polymorph search.")

    @field_validator("min_pair_distances_ang")
    @classmethod
    def _pairs(cls, value: dict[str, float]) -> dict[str, float]:
        for pair in value:
            parts = pair.split("-")
            if len(parts) != 2 or not set(parts) <= set(SYMBOLS):
                raise ValueError(f"pair {pair!r} must be two element symbols joined by '-', like O-O")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> SearchSpace:
        required, allowed = sorted(self.elements.required), self.elements.allowed
        if len(required) > self.n_elements.high:
            raise fault_at(
                "n_elements",
                f"{self.n_elements} is too few for the required elements {', '.join(required)}; raise it",
            )
        if len(allowed) < self.n_elements.low:
            raise fault_at("n_elements", f"{self.n_elements} is too many: only {len(allowed)} are allowed; lower it")
        if (fewest := max(len(required), self.n_elements.low)) > self.n_atoms.high:
            raise fault_at("n_atoms", f"{self.n_atoms} is too few for {fewest} different elements; raise it")
        for pair, distance in self.min_pair_distances_ang.items():
            if distance < self.min_distance_ang:
                raise fault_at(
                    f"min_pair_distances_ang.{pair}",
                    f"{distance:g} lies below min_distance_ang {self.min_distance_ang:g}, which holds for every pair; "
                    "raise it or take it out",
                )
        if self.formula is not None:
            self._check_formula(self.formula)
        return self

    def _check_formula(self, formula: str) -> None:
        counts = self.formula_counts
        assert counts is not None
        size = sum(counts.values())
        problem = ""
        if not counts:
            problem = "cannot be read as whole numbers of atoms; write it like LiFePO4"
        elif outside := sorted(set(counts) - self.elements.allowed):
            problem = f"holds {', '.join(outside)}, which the elements leave out; allow it there"
        elif lacking := sorted(self.elements.required - set(counts)):
            problem = f"lacks the required {', '.join(lacking)}; add it, or require less"
        elif len(counts) not in self.n_elements:
            problem = f"has {len(counts)} elements, outside n_elements {self.n_elements}; widen that"
        elif not any(n % size == 0 for n in range(self.n_atoms.low, self.n_atoms.high + 1)):
            problem = f"has {size} atoms and no multiple of that lies inside n_atoms {self.n_atoms}; widen that"
        if problem:
            raise fault_at("formula", f"{formula!r} {problem}")

    @property
    def formula_counts(self) -> dict[str, int] | None:
        """Element -> count of the fixed reduced formula; None without one, {} where it cannot be read."""
        if self.formula is None:
            return None
        from pymatgen.core import Composition

        try:
            amounts = Composition(self.formula).reduced_composition.get_el_amt_dict()
        except (ValueError, OverflowError):  # the second where an amount is infinite
            return {}
        whole = all(float(n).is_integer() for n in amounts.values())
        return {str(el): round(n) for el, n in amounts.items()} if whole else {}


WRITE_GOAL = "write `maximize`, `minimize`, or `{target: NUMBER}`"


class Objective(Strict):
    """One goal for one property: `maximize`, `minimize`, or `{target: value}`."""

    goal: Literal["maximize", "minimize", "target"]
    target: float | None = Field(None, allow_inf_nan=False, description="What to come close to, like {target: 1.5}.")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, str) and value in ("maximize", "minimize"):
            return {"goal": value}
        if not isinstance(value, dict | Objective):
            raise ValueError(f"{value!r} is no goal; {WRITE_GOAL}")
        if isinstance(value, dict) and "goal" not in value and "target" in value:
            return {"goal": "target", **value}
        return value

    @model_validator(mode="after")
    def _target_has_value(self) -> Objective:
        if (self.goal == "target") != (self.target is not None):
            raise ValueError(f"goal {self.goal!r} does not go with target {self.target}; {WRITE_GOAL}")
        return self

    @model_serializer
    def _as_written(self) -> str | dict[str, float]:
        return self.goal if self.target is None else {"target": self.target}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        target = {
            "type": "object",
            "properties": {"target": {"type": "number"}},
            "required": ["target"],
            "additionalProperties": False,
        }
        return {"description": cls.__doc__, "anyOf": [{"enum": ["maximize", "minimize"]}, target]}


class Constraint(Strict):
    """Bounds a candidate must keep to be feasible, in the property's own unit."""

    min: float | None = Field(None, allow_inf_nan=False, description="Not below this.")
    max: float | None = Field(None, allow_inf_nan=False, description="Not above this.")

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        if not isinstance(value, dict | Constraint):
            raise ValueError(f"{value!r} is no bound; write {{min: NUMBER}}, {{max: NUMBER}} or both")
        return value

    @model_validator(mode="after")
    def _bounds(self) -> Constraint:
        if self.min is None and self.max is None:
            raise ValueError("needs `min`, `max` or both, like {max: 0.1}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} lies above max {self.max}; swap them")
        return self


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
    "ELEMENT_GROUPS",
    "CampaignSpec",
    "KindSpec",
    "OracleSpec",
    "Rule",
    "SearchSpace",
    "Strict",
    "dump_spec",
    "load_spec",
    "parse_spec",
    "spec_errors",
]
