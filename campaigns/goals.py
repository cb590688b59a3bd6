"""What is wanted: an objective or a constraint for a property, as written in the campaign file."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, GetJsonSchemaHandler, model_serializer, model_validator
from pydantic_core import CoreSchema

from campaigns.validation import Strict

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
