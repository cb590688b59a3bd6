"""The page in a real Chromium. Where there is none, `apt-get install chromium` is tried where it is allowed
(system_packages), else all of this is skipped; `playwright install chromium` brings one too, and LATENTORE_CHROMIUM
names another place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from report_ledgers import novelty
from system_packages import install

from optimizer.report.page import write_report

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install 'latentore[dev]'")
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
NO_CHROMIUM = "no Chromium: apt-get install chromium, or playwright install chromium"


def program(driver: playwright.Playwright) -> str | None:
    """The first Chromium that is there."""
    found = [os.environ.get("LATENTORE_CHROMIUM"), *map(shutil.which, NAMES), driver.chromium.executable_path]
    return next((place for place in found if place and Path(place).exists()), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    # other tests move XDG_CACHE_HOME, where playwright would look for its own
    os.environ.setdefault("PLAYWRIGHT_BROWSERS_PATH", str(Path.home() / ".cache" / "ms-playwright"))
    with playwright.sync_playwright() as driver:
        if (place := program(driver)) is None:
            why = install("chromium")
            if (place := program(driver)) is None:
                pytest.skip(f"{NO_CHROMIUM} ({why})")
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses to work for root
        browser = driver.chromium.launch(executable_path=place, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(searched) -> str:
    return write_report(searched, novelty=novelty).as_uri()


class Opened:
    """A page with everything it said and asked for."""

    def __init__(self, browser: playwright.Browser, address: str, **context: object) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.context = browser.new_context(viewport={"width": 1100, "height": 800}, **context)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.failed: list[playwright.Request] = []
        self.page.on("requestfailed", lambda request: self.failed.append(request))
        self.page.goto(address)


@pytest.fixture(scope="module")
def opened(browser, address) -> Iterator[Opened]:
    opened = Opened(browser, address)
    yield opened
    opened.context.close()


def column(page: playwright.Page, number: int) -> list[str]:
    return page.eval_on_selector_all(
        f"#ranking tbody tr > :nth-child({number})", "cells => cells.map(c => c.dataset.value)"
    )


def pixels(page: playwright.Page, canvas: str) -> playwright.JSHandle:
    """What is drawn, after two frames: red, green, blue, alpha of every pixel, kept in the browser."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.locator(canvas).evaluate_handle("c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data")


def apart(one: playwright.JSHandle, other: playwright.JSHandle) -> float:
    """Share of the numbers that differ by more than edges do where a picture is drawn a second time."""
    return one.evaluate("(a, b) => a.reduce((n, v, i) => n + (Math.abs(v - b[i]) > 48), 0) / a.length", other)


def test_it_loads_without_an_error_a_request_or_a_script_of_the_ledger(opened, address):
    assert opened.said == []
    assert opened.asked == [address]
    assert opened.page.evaluate("window.hacked") is None
    assert opened.page.title().startswith("small: NiO (Fm-3m)")


def test_the_policy_stops_what_should_ever_slip_through(browser, address):
    opened = Opened(browser, address)
    opened.page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.hacked = 1";
            document.body.append(script);
            const image = new Image();
            image.src = "https://example.org/x.png";
            document.body.append(image);
        }"""
    )
    assert opened.page.evaluate("window.hacked") is None
    assert [request.failure for request in opened.failed] == ["csp"]
    assert len(opened.said) == 2  # Chromium names both refusals
    opened.context.close()


def test_the_structure_turns_zooms_and_comes_home(opened):
    page, canvas = opened.page, "#c1 canvas"
    page.locator(canvas).scroll_into_view_if_needed()
    before = pixels(page, canvas)
    box = page.locator(canvas).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 25, steps=4)
    page.mouse.up()
    dragged = pixels(page, canvas)
    assert apart(dragged, before) > 0.02
    page.focus(canvas)
    page.keyboard.press("ArrowLeft")
    turned = pixels(page, canvas)
    assert apart(turned, dragged) > 0.02
    page.keyboard.press("+")
    larger = pixels(page, canvas)
    assert apart(larger, turned) > 0.02
    page.mouse.wheel(0, 200)
    page.wait_for_timeout(100)  # a wheel turns in its own time
    assert apart(pixels(page, canvas), larger) > 0.02
    page.keyboard.press("0")
    assert apart(pixels(page, canvas), before) < 0.005


def test_the_table_sorts_numbers_as_numbers_and_the_empty_last(opened):
    page = opened.page
    ranks = column(page, 1)
    head = page.locator("#ranking th:nth-child(3) button")  # the goal
    head.click()
    rising = [float(value) for value in column(page, 3)]
    assert rising == sorted(rising)
    assert page.get_attribute("#ranking th:nth-child(3)", "aria-sort") == "ascending"
    head.click()
    assert [float(value) for value in column(page, 3)] == rising[::-1]
    page.locator("#ranking th:nth-child(5) button").click()  # the second potential measured one of them
    values = column(page, 5)
    assert values[0] != ""
    assert set(values[1:]) == {""}
    page.locator("#ranking th:nth-child(2) button").click()
    assert column(page, 2) == sorted(column(page, 2))
    page.locator("#ranking th:nth-child(1) button").click()
    assert column(page, 1) == ranks


def test_links_open_cards_and_download_the_crystal(opened):
    page = opened.page
    assert page.get_attribute("#c5", "open") is None
    page.click("#ranking a[href='#c5']")
    page.wait_for_selector("#c5[open]")
    assert page.eval_on_selector("#c5 canvas", "canvas => canvas.clientWidth") > 100
    with page.expect_download() as download:
        page.click("#c5 a.button")
    assert download.value.suggested_filename.startswith("005_")
    assert "_cell_length_a" in Path(download.value.path()).read_text()


def test_a_point_says_what_it_is_when_pointed_at(opened):
    page = opened.page
    page.locator("#convergence circle[data-tip]").last.hover()
    assert "call" in page.inner_text("#tip")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_follows_the_dark(browser, address, scheme):
    opened = Opened(browser, address, color_scheme=scheme, is_mobile=True, has_touch=True)
    page = opened.page
    page.set_viewport_size({"width": 360, "height": 740})
    page.eval_on_selector_all("details", "all => all.forEach(each => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    ground = page.eval_on_selector("body", "body => getComputedStyle(body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]
    small = page.eval_on_selector_all(
        ".chart svg text:not(.counts)",
        """all => Math.min(...all.map(text => {
            const place = text.getScreenCTM();
            return parseFloat(getComputedStyle(text).fontSize) * Math.hypot(place.a, place.b);
        }))""",
    )
    assert small > 8  # pixels of the screen
    assert opened.said == []
    opened.context.close()
