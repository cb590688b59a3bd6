"""What a person sees while something long runs: bars with the time left, on a terminal's standard error only.

A program with a display of its own, like a running campaign, has the steps reported to it instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")
Reporter = Callable[[str, int, int], None]  # what is being done, steps done, steps in all

console = Console(stderr=True, highlight=False, markup=False)
_reporter: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


@contextmanager
def reported_to(reporter: Reporter) -> Iterator[None]:
    """Inside, `tracked` draws nothing and tells `reporter` of every step."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)


def tracked(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """The items, with a bar and the time left; a file or a pipe gets nothing."""
    reporter = _reporter.get()
    if reporter is None:
        hidden = not console.is_terminal
        yield from track(items, description, total=total, console=console, transient=True, disable=hidden)
        return
    for done, item in enumerate(items):
        reporter(description, done, total)
        yield item
