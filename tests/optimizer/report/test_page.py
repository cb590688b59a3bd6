"""The page: one file, nothing fetched, nothing of the ledger run, something to read whatever came of the campaign."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser

import pytest
from pymatgen.io.cif import CifParser
from report_ledgers import GENERATOR, HOSTILE, novelty, proposal

from optimizer.report.gathering import gather
from optimizer.report.page import page, write_report

VOID = {"meta", "br", "img", "link", "input", "hr"}
SELF_CLOSED = {"path", "rect", "circle", "line", "polyline", "polygon"}


class Strict(HTMLParser):
    """Every element is closed where it should be; collects elements with attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        assert len(attributes) == len(dict(attributes)), tag
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert tag in SELF_CLOSED, tag
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def seen(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.text))


@pytest.fixture(scope="module")
def text(searched) -> str:
    return page(gather(searched, novelty))


@pytest.fixture(scope="module")
def parsed(text) -> Strict:
    return Strict(text)


def test_it_is_one_small_file_that_asks_for_nothing(searched, tmp_path, text, parsed):
    place = write_report(searched, novelty=novelty, out=tmp_path / "deep" / "report.html")
    assert place.stat().st_size < 1e6
    assert write_report(searched, novelty=novelty) == searched.folder / "report.html"
    for tag, attributes in parsed.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "img"), tag
        assert "src" not in attributes, tag
        if tag == "a":
            href = attributes["href"] or ""
            assert href.startswith(("#", "data:chemical/x-cif;base64,", "https://", "http://")), href
    assert "url(" not in text
    assert "@import" not in text


def test_what_the_ledger_holds_is_text(parsed):
    assert [tag for tag, _ in parsed.elements].count("script") == 2  # scenes, and ours
    assert not [name for _, attributes in parsed.elements for name in attributes if name.startswith("on")]
    seen = parsed.seen()
    assert seen.count(HOSTILE) > 10  # unit, arm, message, origin, events, versions, YAML, generator, second potential
    policy = next(a["content"] for t, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_every_link_inside_leads_somewhere(parsed):
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    inside = {a["href"][1:] for t, a in parsed.elements if t == "a" and a["href"].startswith("#")}
    assert inside <= set(ids)
    assert {"ranked", "convergence", "map", "elements", "provenance", "c1"} <= inside


def test_the_answer_stands_first(parsed):
    seen = parsed.seen()
    order = [attributes["id"] for tag, attributes in parsed.elements if tag == "section"]
    assert order[:2] == ["ranked", "convergence"]
    assert order[-1] == "provenance"
    assert "NiO (Fm-3m): gap 3.5" in seen
    assert "kept to energy above hull at most 0.1 eV/atom" in seen
    assert "potentials disagree" in seen
    assert "verification hull incomplete" in seen
    assert "rests on 3 known compounds and 1 made one" in seen
    assert "behind rank 1." in seen
    assert "standard deviations" in seen


def test_the_cif_in_the_page_is_the_crystal(searched, parsed):
    data = gather(searched, novelty)
    links = [a for t, a in parsed.elements if t == "a" and a["href"].startswith("data:")]
    assert len(links) == 2 * len(data.cards)  # in the table and on the card
    crystal = CifParser.from_str(base64.b64decode(links[0]["href"].partition(",")[2]).decode()).parse_structures(
        primitive=False
    )[0]
    assert crystal.composition.reduced_formula == data.cards[0].formula
    assert links[0]["download"].endswith(".cif")
    assert "/" not in links[0]["download"]


def test_scenes_travel_as_data(text):
    (found,) = re.findall(r'<script type="application/json" id="scenes">(.*?)</script>', text, re.DOTALL)
    scenes = json.loads(found)
    assert scenes[0]["kinds"][0].keys() == {"symbol", "colour", "radius"}


def test_before_anything_is_measured(make_ledger, tmp_path):
    store = make_ledger(rounds=-1)
    seen = Strict(page(gather(store, novelty))).seen()
    assert "Nothing to rank yet" in seen
    assert "Nothing was evaluated yet." in seen
    assert "Nothing feasible was found yet." in seen


def test_when_nothing_passed_the_screens(make_ledger):
    store = make_ledger(rounds=-1)
    store.finish_phase(0, "start", failures={"known": 3, "too_close": 40})
    seen = Strict(page(gather(store, novelty))).seen()
    assert "Nothing was evaluated yet. Most often: before any oracle, two atoms too close (40)." in seen


def test_when_everything_failed(make_ledger):
    data = gather(make_ledger(all_fail=True), novelty)
    seen = Strict(page(data)).seen()
    assert "All 12 candidates that were evaluated failed. Most often: relax, collapsed as it relaxed (12)." in seen
    assert data.cards == ()


def test_when_nothing_is_feasible(make_ledger):
    seen = Strict(page(gather(make_ledger(hull=1.0), novelty))).seen()
    assert "Nothing within every bound yet; the nearest is" in seen
    assert "outside a bound" in seen


def test_two_goals_have_a_front(make_ledger):
    store = make_ledger(objectives={"gap_ev": "maximize", "width_ev": "minimize"}, constraints={})
    data = gather(store, novelty)
    parsed = Strict(page(data))
    assert "pareto" in {a.get("id") for _, a in parsed.elements}
    assert "On the Pareto front: nothing in the list is better in one goal" in parsed.seen()
    assert data.convergence.best[-1][1] == pytest.approx(1.0)


def test_an_unfinished_round_and_a_target(make_ledger):
    store = make_ledger(rounds=1, objectives={"gap_ev": {"target": 1.9}})
    store.finish_phase(2, "propose", candidates=[proposal(2, 0)])
    store.await_outside("002-0000", [])
    data = gather(store, novelty)
    assert (data.ranking.evaluated, data.snapshot.proposed) == (8, 9)
    seen = Strict(page(data)).seen()
    assert "closer to the target than rank 2" in seen
    assert "(wanted 1.9)" in seen
    assert data.snapshot.generators[0].version == GENERATOR


def test_the_command_writes_it_beside_a_running_campaign(make_ledger, optimize, tmp_path):
    store = make_ledger(rounds=1)
    with store.lock():
        code, out, err = optimize("report", store.folder, "--out", tmp_path / "page.html")
    assert (code, err) == (0, "")
    assert out.startswith(f"{tmp_path / 'page.html'}: 0.")
    assert "Campaign small · running · read" in Strict((tmp_path / "page.html").read_text("utf-8")).seen()
    code, _, err = optimize("report", store.folder, "--out", tmp_path)
    assert code == 2
    assert "is a folder" in err
    code, _, err = optimize("report", store.folder, "--out", tmp_path / "page.html" / "x.html")
    assert code == 2
    assert "cannot be written" in err


def test_a_crowd_is_thinned_and_the_page_says_so(make_ledger, monkeypatch):
    for module in ("charts", "progress_charts", "space_charts"):
        monkeypatch.setattr(f"optimizer.report.{module}.MOST_DOTS", 5)
    monkeypatch.setattr("optimizer.report.latent_map.MOST_POINTS", 8)
    monkeypatch.setattr("optimizer.report.listing.MOST_SCENES", 2)
    parsed = Strict(page(gather(make_ledger(), novelty)))
    assert "5 of 12 are drawn, evenly." in parsed.seen()
    assert "4 candidates of 12 left out, evenly" in parsed.seen()
    assert [tag for tag, _ in parsed.elements].count("canvas") == 2
