"""A slice of `python -m benchmarks.fuzz`: what is wrong in any way is accepted or refused in one message."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path

import pytest
from shared_fixtures import caches_of_its_own

from benchmarks import fuzz, mutations
from benchmarks.subjects import SUBJECTS, Subject
from campaigns.errors import UserError

SLICE = {"spec": 120, "plan": 4, "tell": 25, "start": 12, "crystal": 20, "reference": 30, "lookup": 30, "predictor": 2}
SEED = 20


@pytest.mark.parametrize("name", SUBJECTS)
def test_accepted_or_refused_in_one_message(name, tmp_path):
    trouble = []

    def tell(subject: str, number: int, verdict: fuzz.Verdict) -> None:
        if verdict.outcome == "trouble":
            trouble.append(f"--subject {subject} --seed {SEED} --only {number}: {verdict.message}")

    found = fuzz.run({name: SLICE[name]}, SEED, tmp_path, tell)
    assert trouble == []
    assert sum(found.values()) == SLICE[name]


def subject(use) -> Subject:
    return Subject("mine", {"x": b"1"}, mutations.ANY, use)


def trouble_of(use, tmp_path: Path) -> str:
    verdict = fuzz.judge(subject(use), tmp_path / "x", b"")
    assert verdict.outcome == "trouble"
    return verdict.message


def test_a_crash_two_lines_a_warning_and_a_hang_are_trouble(tmp_path, monkeypatch):
    import warnings

    def warn(path: Path) -> tuple[str, str]:
        warnings.warn("odd", UserWarning, stacklevel=1)
        return "accepted", ""

    def crash(path: Path) -> tuple[str, str]:
        raise ZeroDivisionError("by zero")

    def hang(path: Path) -> tuple[str, str]:
        try:
            time.sleep(60)
        except Exception:  # like code that takes every exception for the file's fault
            return "refused", ""
        return "accepted", ""

    monkeypatch.setattr(fuzz, "PATIENCE", 1)
    assert "ZeroDivisionError in test_fuzz.py" in trouble_of(crash, tmp_path)
    assert "more than one line" in trouble_of(lambda path: ("accepted", "a\nb"), tmp_path)
    assert "warned: UserWarning odd" in trouble_of(warn, tmp_path)
    assert "not done after 1 s" in trouble_of(hang, tmp_path)


def test_a_refusal_that_left_something_behind_is_trouble(tmp_path):
    written: list[int] = []

    def half(path: Path) -> tuple[str, str]:
        written.append(1)
        raise UserError("no")

    judged = fuzz.judge(replace(subject(half), state=lambda: len(written)), tmp_path / "x", b"")
    assert (judged.outcome, judged.message) == ("trouble", "refused, and changed something: no")


def test_a_case_follows_from_its_seed_and_number(tmp_path):
    mine = SUBJECTS["lookup"](tmp_path)
    again = [fuzz.content_of(mine, 7, number) for number in range(20)]
    assert again == [fuzz.content_of(mine, 7, number) for number in range(20)]
    assert len({content for _, content in again}) > 10


@pytest.mark.parametrize("way", {*mutations.OF_YAML, *mutations.OF_TABLES}, ids=lambda way: way.__name__)
def test_every_mutation_takes_any_bytes(way):
    for seed, content in enumerate((b"", b"a,b\n1,2\n", b"a: [1, {b: c}]\n", bytes(range(256)), b"\xff" * 9)):
        assert isinstance(way(random.Random(seed), content), bytes)


__all__ = ["caches_of_its_own"]
