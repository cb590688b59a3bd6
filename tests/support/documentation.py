"""README and docs as their readers take them: blocks, commands, links, headings."""

from __future__ import annotations

import re
import shlex
from itertools import dropwhile
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
MADE = DOCS / "reference"  # from the code: its usage lines are patterns, not commands
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SHELLS = ("bash", "sh")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """What stands between fences of a language, in order."""
    return [body for kind, body in FENCE.findall(page.read_text("utf-8")) if kind == language]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", page.read_text("utf-8"))


def quoted(page: Path) -> list[str]:
    """Everything in backquotes, a line break inside as a space."""
    return [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose(page))]


def commands(page: Path) -> list[list[str]]:
    """What a reader would paste into a terminal: indented lines and lines of shell blocks, as words without comments
    and redirections."""
    if page.is_relative_to(MADE):
        return []
    lines = re.findall(r"^    (\S.*)$", prose(page), re.MULTILINE)
    lines += [line for shell in SHELLS for body in blocks(page, shell) for line in body.splitlines()]
    found = [shlex.split(re.split(" >>? ", line)[0], comments=True) for line in lines]
    without_settings = (list(dropwhile(re.compile(r"\w+=").match, words)) for words in found)
    return [words for words in without_settings if words]


def anchors(page: Path) -> set[str]:
    """The ids that GitHub gives to the headings of a page."""
    headings = [heading.replace("`", "") for heading in HEADING.findall(prose(page))]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(page: Path, head: str) -> list[list[str]]:
    """Cells of the table whose first head this is."""
    _, found, rest = page.read_text("utf-8").partition(f"\n| {head} |")
    assert found, f"{name(page)} has no table of {head!r}"
    lines = rest.splitlines()[2:]
    end = next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:end]]


def codes(cell: str) -> set[str]:
    """The words in backquotes of a cell."""
    return set(re.findall(r"`(\w+)`", cell))
