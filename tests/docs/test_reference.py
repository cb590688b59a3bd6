"""docs/reference is what the code says now, and the tables that are written by hand name all there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import typer
from documentation import DOCS, codes, rows
from pydantic import BaseModel

from campaigns.elements import ELEMENT_GROUPS
from campaigns.kinds import GROUPS, available_kinds
from campaigns.records import FailureCode
from campaigns.spec import CampaignSpec
from optimizer.cli import app
from optimizer.reference_pages import REMEDY, pages
from optimizer.report.listing import DOUBT
from optimizer.report.wording import FLAGS


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages()


def test_it_is_what_the_code_says(made):
    committed = {path.name: path.read_text("utf-8") for path in (DOCS / "reference").glob("*.md")}
    stale = sorted(page for page in made.keys() | committed.keys() if made.get(page) != committed.get(page))
    assert not stale, f"docs/reference: {', '.join(stale)} out of date; write them again: {REMEDY}"


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key of a campaign file, down to what is no section; found without asking the page's maker."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if name in ("space", "elements", "budget", "export"):
            assert isinstance(inner, type)
            assert issubclass(inner, BaseModel)
            yield from keys(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_every_key_is_there(made):
    assert [key for key in keys(CampaignSpec) if f"| `{key}` |" not in made["campaign.md"]] == []
    assert all(f"| `{group}` |" in made["campaign.md"] for group in ELEMENT_GROUPS)


def test_nothing_is_left_unexplained(made):
    """A key, parameter or option without a meaning has an empty last cell."""
    for page, text in made.items():
        assert [line for line in text.splitlines() if line.endswith("|  |")] == [], page


def every_command() -> Iterator[tuple[str, set[str]]]:
    """Every command after `optimize`, with its options."""
    for name, command in typer.main.get_command(app).commands.items():
        inner = getattr(command, "commands", {"": command})
        for each, found in inner.items():
            options = {option for parameter in found.params for option in parameter.opts if option.startswith("-")}
            yield f"{name} {each}".strip(), options - {"--help", "-h"}


def test_every_command_with_its_options_is_there(made):
    for words, options in every_command():
        _, heading, section = made["commands.md"].partition(f"\n## optimize {words}\n")
        assert heading, words
        section = section.partition("\n## ")[0]
        assert [option for option in options if option not in section] == [], words


@pytest.mark.parametrize("role", GROUPS)
def test_every_kind_is_there(made, role):
    assert all(f"\n### {kind}\n" in made["kinds.md"] for kind in available_kinds(role))


def test_what_an_oracle_measures_is_there(made):
    for name in ("bulk_modulus_gpa", "energy_above_hull_ev_atom", "price_usd_kg", "instability_ev_atom"):
        assert f"| `{name}` |" in made["kinds.md"]


def test_every_failure_code_is_explained():
    listed = {code for row in rows(DOCS / "running.md", "code") for code in codes(row[0])}
    assert listed == {code.value for code in FailureCode}


def test_every_flag_is_explained_as_the_report_has_it():
    listed = {row[0].strip("`"): row[1] for row in rows(DOCS / "report.md", "flag")}
    assert listed == {flag: ("▲ " if flag in DOUBT else "") + words for flag, words in FLAGS.items()}


def test_every_role_is_in_the_page_on_adding_a_kind():
    listed = {row[0]: row[1] for row in rows(DOCS / "add-a-kind.md", "role")}
    assert listed == {role: f"`{group.replace('.', '/')}`, `latentore.{group}`" for role, group in GROUPS.items()}
