"""Ranges of counts in a campaign file."""

from __future__ import annotations

from typing import Any

from pydantic import Field, GetJsonSchemaHandler, model_serializer, model_validator
from pydantic_core import CoreSchema

from campaigns.validation import Strict


class Range(Strict):
    """`[low, high]`, both included."""

    low: int = Field(ge=1, le=1000)
    high: int = Field(ge=1, le=1000)

    @model_validator(mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return {"low": value, "high": value}
        if isinstance(value, list | tuple):
            if len(value) != 2:
                raise ValueError(f"{value!r} must be two numbers, [low, high]")
            return {"low": value[0], "high": value[1]}
        if not isinstance(value, dict | Range):
            raise ValueError(f"{value!r} is no range; write [low, high], or one number")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low > self.high:
            raise ValueError(
                f"[{self.low}, {self.high}] has its low end above its high end; write [{self.high}, {self.low}]"
            )
        return self

    def __str__(self) -> str:
        return f"[{self.low}, {self.high}]"

    def __contains__(self, number: int) -> bool:
        return self.low <= number <= self.high

    @model_serializer
    def _as_pair(self) -> list[int]:
        return [self.low, self.high]

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        number = {"type": "integer", "minimum": 1, "maximum": 1000}
        pair = {"type": "array", "items": number, "minItems": 2, "maxItems": 2}
        return {"description": cls.__doc__, "anyOf": [pair, number]}
