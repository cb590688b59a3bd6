"""Links of README and docs lead to files and headings that are there, and no page is left without one to it."""

from __future__ import annotations

import pytest
from documentation import DOCS, LINK, PAGES, ROOT, anchors, name, prose

pages = pytest.mark.parametrize("page", PAGES, ids=name)


@pages
def test_links_lead_to_files_and_headings(page):
    for target in LINK.findall(prose(page)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        place = (page.parent / file).resolve() if file else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


@pages
def test_no_heading_stands_twice(page):
    """Its link would lead to the first."""
    headings = [line for line in prose(page).splitlines() if line.startswith("#")]
    assert sorted(headings) == sorted(set(headings))


def test_the_guide_leads_to_every_page():
    named = {(DOCS / target).resolve() for target in LINK.findall(prose(DOCS / "guide.md"))}
    assert named == set(DOCS.rglob("*.md")) - {DOCS / "guide.md"}
    assert len((DOCS / "guide.md").read_text("utf-8").splitlines()) < 60


def test_no_paragraph_stands_in_two_pages():
    """What is said twice is mended once. The README may say again what it is about."""
    seen: dict[str, str] = {}
    for page in PAGES:
        if page in (ROOT / "README.md", ROOT / "CHANGELOG.md") or page.parent.name == "reference":
            continue
        for paragraph in prose(page).split("\n\n"):
            text = " ".join(paragraph.split())
            if len(text) > 150:
                assert seen.setdefault(text, name(page)) == name(page), text[:80]
