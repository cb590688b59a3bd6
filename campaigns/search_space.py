"""What may be proposed, as written under `space` in the campaign file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from campaigns.elements import SYMBOLS, expand_elements
from campaigns.ranges import Range
from campaigns.validation import Strict, fault_at


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
        named = ", ".join(sorted(set(self.include or ()) & (set(SYMBOLS) - self.allowed)))
        if named and "exclude" not in self.model_fields_set:
            problem = f"{named} is left out by `exclude` as it is by default, [{', '.join(self.exclude)}]"
            raise fault_at("include", f"{problem}; write an `exclude` of your own, like []")
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
        1.0,
        ge=0.5,
        le=4.0,
        description="No two atoms closer than this, images included (angstrom); lower it for O-H bonds (0.97).",
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
