"""Pydantic's faults in the words of a campaign file."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from campaigns.validation import Strict, fault_at, spec_errors


class Inner(Strict):
    steps: int = Field(1, ge=1, description="Steps to take.")


class Outer(Strict):
    inners: tuple[Inner, ...] = ()
    by_name: dict[str, Inner] = Field(default_factory=dict)
    either: Literal["off"] | Inner = "off"
    share: float | None = None
    strict: bool = False


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            {"inners": [{}, {"steps": 0}]},
            "root.inners.1.steps: must be greater than or equal to 1 (got 0). Steps to take.",
        ),
        ({"by_name": {"a": {"steps": 0}}}, "root.by_name.a.steps: must be greater"),
        ({"by_name": {"a": {"stps": 2}}}, "Did you mean 'steps'?"),
        ({"share": True}, "root.share: True is not a number; write one."),
        ({"inners": [5]}, "root.inners.0: must hold keys and values (got 5)."),
        ({"inner": []}, "root.inner: unknown key (with value []); the keys here are inners"),
    ],
)
def test_the_path_leads_to_the_fault(written, message):
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(written)
    assert message in str(spec_errors(caught.value, "root", Outer)[0])


def test_a_misspelt_key_is_told_before_the_one_that_is_missing_for_it():
    class Both(Strict):
        first: int
        second: int

    with pytest.raises(ValidationError) as caught:
        Both.model_validate({"frist": 1, "second": 2})
    assert [error.path for error in spec_errors(caught.value, "root", Both)] == ["root.frist", "root.first"]


def test_a_fault_of_a_whole_model_can_name_its_key():
    class Pair(Strict):
        low: int
        high: int

        @model_validator(mode="after")
        def _ordered(self):
            if self.low > self.high:
                raise fault_at("low", f"{self.low} lies above high; lower it")
            return self

    class Holder(Strict):
        pair: Pair

    with pytest.raises(ValidationError) as caught:
        Holder.model_validate({"pair": {"low": 2, "high": 1}})
    assert str(spec_errors(caught.value, model=Holder)[0]) == "pair.low: 2 lies above high; lower it."


def test_the_description_is_the_remedy():
    with pytest.raises(ValidationError) as caught:
        Inner.model_validate({"steps": "many"})
    assert spec_errors(caught.value, model=Inner)[0].remedy == "Steps to take."


def test_names_of_union_members_are_no_part_of_the_path():
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"either": {"steps": 0}})
    assert {error.path for error in spec_errors(caught.value, model=Outer)} == {"either", "either.steps"}


def test_a_truth_value_is_taken_where_it_belongs():
    assert Outer(strict=True).strict


def test_a_password_under_a_misspelt_key_is_not_repeated():
    class Place(Strict):
        ledger: str | None = None

    with pytest.raises(ValidationError) as caught:
        Place.model_validate({"ledgr": "postgresql://me:hunter2@host/db"})
    said = str(spec_errors(caught.value, model=Place)[0])
    assert "postgresql://me:...@host/db" in said
    assert "hunter2" not in said
