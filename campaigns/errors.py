"""The one exception tree. What a person can cause or cure is a `UserError` and ends with exit code 2."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

LONGEST_MESSAGE = 1000  # characters; what a person typed may be a whole file


class LatentoreError(Exception):
    """Root of every exception raised on purpose."""

    exit_code = 1


class UserError(LatentoreError):
    """Bad input. `message` is one line, whatever it quotes; `remedy` says what to do about it."""

    exit_code = 2

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message, self.remedy = in_one_line(message), in_one_line(remedy)
        super().__init__(f"{self.message} {self.remedy}".strip())


def in_one_line(text: str) -> str:
    """The text on one line of at most LONGEST_MESSAGE characters, the middle left out of a longer one.

    What a terminal would obey or hide (escape sequences, writing from right to left) is written as its code.
    """
    line = " ".join(part.strip() for part in text.splitlines())
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line).strip()
    if len(line) <= LONGEST_MESSAGE:
        return line
    half = LONGEST_MESSAGE // 2
    return f"{line[:half]} ... {line[3 - half :]}"


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
