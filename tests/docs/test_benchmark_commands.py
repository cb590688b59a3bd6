"""Every `python -m benchmarks...` of README and docs is taken as typed; the tables are what the committed rows give."""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import io
import re
import shutil
import sys

import pytest
from documentation import DOCS, PAGES, ROOT, commands

PREFIX = ["python", "-m"]
TYPED = [
    words
    for page in PAGES
    for words in commands(page)
    if words[:2] == PREFIX and words[2].partition(".")[0] == "benchmarks"
]
FIGURE = re.compile(r"\d{3}|[\d.]+ \([\d.]+ to [\d.]+\)(; [\d.]+)?")  # GPa, or calls with their band and AF


class TakenError(Exception):
    """Raised in place of the work."""


@pytest.mark.parametrize("words", TYPED, ids=" ".join)
def test_a_command_is_taken_as_typed(words, monkeypatch):
    take = argparse.ArgumentParser.parse_args

    def only(parser, *given, **named):
        take(parser, *given, **named)
        raise TakenError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only)
    monkeypatch.setattr(sys, "argv", words[2:])
    name = f"{words[2]}.__main__" if words[2] == "benchmarks" else words[2]
    with pytest.raises(TakenError):
        importlib.import_module(name).main()


def source_of(file):
    return re.search("<dc:source>(.*?)</dc:source>", file.read_text("utf-8"), re.DOTALL).group(1)


SECTIONS = {
    "### Perovskites": "perovskite_pool",
    "### Stiff and stable": "stiff_and_stable",
    "### A band gap of 1.4 eV": "band_gap",
    "### Stiff and light": "stiff_and_light",
    "### A closed form": "closed_form",
    "#### Perovskites, a part taken away": "perovskite_pool",
    "#### Stiff and stable, a part taken away": "stiff_and_stable",
}


@pytest.fixture(scope="module")
def summaries(tmp_path_factory):
    """Of a task: what `summarize` prints, and the figures that it draws of the committed rows."""
    return functools.cache(lambda task: summarized(task, tmp_path_factory.mktemp(task)))


def summarized(task, folder):
    (words,) = [w for w in TYPED if w[3:] == ["summarize", "--task", task, "--out", "benchmarks/results"]]
    results = folder / "benchmarks" / "results" / task
    rows = ROOT / "benchmarks" / "results" / task
    shutil.copytree(rows, results, ignore=shutil.ignore_patterns("*.svg"))  # so that what is there is drawn here
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.chdir(folder)
        patch.setattr(sys, "argv", words[2:])
        importlib.import_module("benchmarks.__main__").main()
    return out.getvalue(), {file.name: source_of(file) for file in results.glob("*.svg")}


@pytest.mark.parametrize(("heading", "task"), SECTIONS.items(), ids=SECTIONS)
def test_published_rows_give_the_figures(heading, task, summaries):
    """As `summarize` prints them, and the committed figures are of these rows."""
    printed, drawn = summaries(task)
    printed = re.sub(r"-(?=\d)", "", printed)  # a distance from a target is a negative utility
    assert drawn == {file.name: source_of(file) for file in (ROOT / "benchmarks" / "results" / task).glob("*.svg")}
    told = (DOCS / "benchmarks.md").read_text().partition(f"\n{heading}\n")[2].partition("\n#")[0]
    head, _, *rows = [re.split(r" *\| *", line)[1:-1] for line in told.splitlines() if line[:1] == "|"]
    assert len(rows) >= 3
    after_calls = [at for at, title in enumerate(head) if title[:1].isdigit() or title == "calls to the optimum"]
    compared = 0
    for row in rows:
        name = row[0]
        found = [line for line in printed.splitlines() if line.startswith(f"| {name.strip('`')} |")]
        figures = [row[place] for place in after_calls if FIGURE.fullmatch(row[place])] if found else []
        assert [each for each in figures if each not in found[0]] == [], name  # some rows stand for two arms
        compared += len(figures)
    assert compared >= 10
