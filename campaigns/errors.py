"""The one exception tree. What a person can cause or cure is a `UserError` and ends with exit code 2."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches


class LatentoreError(Exception):
    """Root of every exception raised on purpose."""

    exit_code = 1


class UserError(LatentoreError):
    """Bad input. `message` is one line; `remedy` says what to do about it."""

    exit_code = 2

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.message = message
        self.remedy = remedy


class SpecError(UserError):
    """A campaign file that cannot be used: names the YAML path, the value and the remedy."""

    def __init__(self, path: str, problem: str, remedy: str = "") -> None:
        super().__init__(f"{path}: {problem}", remedy)
        self.path = path


class UnknownChoiceError(SpecError):
    """A word that is not among the choices."""

    def __init__(self, path: str, value: object, choices: Sequence[str], remedy: str = "") -> None:
        self.choices = tuple(choices)
        near = get_close_matches(str(value), list(choices), n=1)
        hint = remedy or (f"Did you mean {near[0]!r}?" if near else "")
        super().__init__(path, f"unknown {value!r}; choose one of {', '.join(choices)}.", hint)


class LedgerError(UserError):
    """A run folder whose ledger cannot be used as asked."""


class CampaignLockedError(UserError):
    """Another process drives this campaign."""


class CampaignInterrupted(LatentoreError):
    """Stopped on request; everything measured is kept and the campaign can be resumed."""

    exit_code = 3
