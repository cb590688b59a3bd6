"""What a person sees while something long runs: bars with the time left, on a terminal's standard error only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")

console = Console(stderr=True, highlight=False, markup=False)


def tracked(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """The items, with a bar and the time left; a file or a pipe gets nothing."""
    yield from track(items, description, total=total, console=console, transient=True, disable=not console.is_terminal)
