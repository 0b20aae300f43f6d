"""The page in a real browser: it fits, it reads, it agrees with the JSON, it is quiet, and nothing hostile runs.

Screenshots of every page are left in build/screenshots, to be looked at by people.
"""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from monitor.lib.language import CODES
from monitor.store.rollups.model import Grain
from monitor.web.pages.pages import render_report
from tests.program import ROOT, until
from tests.web.axe import axe_script
from tests.web.browser import Browser, Page
from tests.web.conftest import Site, build, serving
from tests.web.made import DATABASES, HOSTILE_NAME, NOW, MadeOverview
from tests.web.states import serving_state

PICTURES = ROOT / "build" / "screenshots"
WIDTHS = (375, 768, 1440)
SCHEMES = ("light", "dark")
PAGES = {
    "front": "/",
    "month": "/databases/main?span=month",
    "hostile": f"/databases/{quote(HOSTILE_NAME, safe='')}?span=month",
    "refusal": "/nothing",
}
# Of each of these states the front page and the page of `main`, or the front page alone.
STATES = {"first-check": True, "ten-minutes": False, "hour": True, "thirty": False}
WEEK = "/databases/main?span=week"
# What reaches over the right edge, unless it stands in a box that can be scrolled.
OVERFLOW = """
[...document.querySelectorAll("body *")].filter((element) => !element.closest(".scroll") && !element.closest("svg")
  && element.getBoundingClientRect().right > innerWidth + 0.5).map((element) => element.outerHTML.slice(0, 80))
"""
# Figures and times that are broken over two lines.
BROKEN = """
[...document.querySelectorAll("main .figure, main time")]
  .filter((element) => element.getClientRects().length > 1).map((element) => element.innerText)
"""


def axe(page: Page, **options: Any) -> list[str]:
    """What axe-core finds, with the elements it finds it at."""
    page.run(axe_script() + "; true")
    found: dict[str, Any] = page.run(f"axe.run({json.dumps({'resultTypes': ['violations'], **options})})")
    assert found["passes"], "axe examined nothing"
    return [f"{one['id']}: {[node['target'] for node in one['nodes']]}" for one in found["violations"]]


def assert_fits_and_shuts_nobody_out(page: Page, url: str, name: str) -> None:
    """On each width in both schemes, with a screenshot of each; only colours differ between the schemes."""
    page.open(url)
    for width in WIDTHS:
        page.resize(width, 900)
        assert page.run("document.documentElement.scrollWidth") == width
        assert page.run(OVERFLOW) == []
        assert page.run(BROKEN) == []
        for scheme in SCHEMES:
            page.prefer(scheme)
            page.screenshot(PICTURES / f"{name}-{width}-{scheme}.png")
    if name == "thirty":  # the same cards as on the other pages: their colours take seconds
        assert axe(page, rules={"color-contrast": {"enabled": False}}) == []
    else:
        assert axe(page, runOnly=["color-contrast"]) == []
        page.prefer("light")
        assert axe(page) == []


@pytest.mark.parametrize("name", PAGES)
def test_every_page_fits_every_screen_and_axe_finds_nothing(site: Site, browser: Browser, name: str) -> None:
    """From a phone to a desktop, in both schemes: no sideways scrolling, and nothing that shuts somebody out."""
    with browser.page() as page:
        assert_fits_and_shuts_nobody_out(page, site.url + PAGES[name], name)
        expected = ["Failed to load resource: the server responded with a status of 404 (Not Found)"]
        assert page.complaints == (expected if name == "refusal" else [])


@pytest.mark.parametrize("code", [code for code in CODES if code != "en"])
def test_the_page_fits_every_screen_in_each_language(browser: Browser, code: str) -> None:
    """Words are longer there than in English, for which the page was made."""
    with serving(build(MadeOverview(DATABASES, now=NOW), language_code=code)) as port, browser.page() as page:
        for name in ("front", "month"):
            assert_fits_and_shuts_nobody_out(page, f"http://127.0.0.1:{port}{PAGES[name]}", f"{code}-{name}")
        assert page.complaints == []


@pytest.mark.parametrize("state", STATES)
def test_every_state_fits_every_screen_and_axe_finds_nothing(browser: Browser, tmp_path: Path, state: str) -> None:
    """The same from the first check on, with a fresh incident, with thirty databases."""
    with browser.page() as page, serving_state(state, tmp_path) as url:
        assert_fits_and_shuts_nobody_out(page, url, state)
        if STATES[state]:
            assert_fits_and_shuts_nobody_out(page, f"{url}/databases/main", f"{state}-main")
        assert page.complaints == []


def test_values_on_the_page_agree_with_the_json(site: Site, browser: Browser) -> None:
    """State, uptime and latencies of each database, as a person reads them, are those that a program reads."""
    rows = {row["database"]: row for row in json.loads(site.ask("/api/databases").body)["databases"]}
    with browser.page() as page:
        page.open(site.url)
        cards = page.run(
            """Object.fromEntries([...document.querySelectorAll("article.card")].map((card) => [
              card.dataset.database, {
              state: card.querySelector(".pill").className.replace("pill state-", ""),
              ...Object.fromEntries(["share", "latency", "p50", "p99"].map((name) =>
                [name, card.querySelector("data." + name)?.value ?? ""])),
            }]))"""
        )
        page.open(f"{site.url}/databases/main?span=week")
        facts = page.run(
            """Object.fromEntries([...document.querySelectorAll(".facts data, .bars data")].map((figure) =>
              [figure.className.replace("figure", "").trim() || "outcome", Number(figure.value)]))"""
        )
    assert sorted(cards) == sorted(rows)
    for name, row in rows.items():
        card = cards[name]
        assert card["state"] == row["state"]
        today = row["latency_today"] or {"p50_ms": None, "p99_ms": None}
        for key, value in (
            ("share", row["uptime"]["share"]),
            ("latency", row["latency_ms"]),
            ("p50", today["p50_ms"]),
            ("p99", today["p99_ms"]),
        ):
            assert card[key] == ("" if value is None else str(value)), (name, key)
    history = json.loads(site.ask("/api/databases/main/history?since=7d").body)
    whole, phases = history["whole"], history["phases_ms"]
    assert facts["share"] == whole["uptime"]["share"]
    assert {key: facts[key] for key in ("p50", "p95", "p99", "max")} == {
        key: whole["latency"][f"{key}_ms"] for key in ("p50", "p95", "p99", "max")
    }
    assert (facts["checks"], facts["failed"]) == (whole["checks"], whole["checks_failed"])
    assert {key: facts[f"phase-{key}"] for key in ("dns", "tls", "wait")} == {
        key: phases[key] for key in ("dns", "tls", "wait")
    }


def test_landmarks_names_and_tables_are_there_for_those_who_hear_the_page(site: Site, browser: Browser) -> None:
    """One main heading, landmarks, a name and a description for each picture, and a table behind each chart."""
    with browser.page() as page:
        for path in (PAGES["front"], WEEK):
            page.open(site.url + path)
            tree = page.command("Accessibility.getFullAXTree")["nodes"]
            roles = [node["role"]["value"] for node in tree if not node["ignored"]]
            assert {"banner", "main", "contentinfo", "heading", "image"} <= set(roles)
            assert page.run("document.querySelectorAll('h1').length") == 1
            pictures = [node for node in tree if not node["ignored"] and node["role"]["value"] == "image"]
            assert all(node["name"]["value"] and node["description"]["value"] for node in pictures)
            assert page.run("document.querySelectorAll('details.table-details table th[scope=row]').length") > 10


def test_names_look_like_links_and_times_are_the_readers_own_on_hover(site: Site, browser: Browser) -> None:
    """A link is known by its line, not by its colour alone; a time's title is of the zone of the browser."""
    with browser.page(width=375) as page:
        page.command("Emulation.setTimezoneOverride", timezoneId="Asia/Tokyo")
        page.open(site.url)
        links = "[...document.querySelectorAll('.card h2 a, .incidents a')]"
        lines = page.run(f"{links}.map((link) => getComputedStyle(link).textDecorationLine)")
        assert len(lines) > 10
        assert set(lines) == {"underline"}
        box = page.run("(({x, y}) => ({x, y}))(document.querySelector('.as-of time').getBoundingClientRect())")
        page.point_at(box["x"] + 5, box["y"] + 5)
        title = "document.querySelector('.as-of time').title"
        until(lambda: "11:20:31" in page.run(title) and "GMT+9" in page.run(title), "the time in Tokyo")
        assert "pointing at one shows yours" in page.run("document.querySelector('footer').innerText")
        page.open(site.url + WEEK)
        incidents, charts = (
            page.run(f"document.getElementById('{name}').getBoundingClientRect().top")
            for name in ("incidents-heading", "latency")
        )
        assert incidents < charts


def test_everything_is_reached_by_keyboard_and_charts_are_read_out(site: Site, browser: Browser) -> None:
    """Tab goes through every link, table and chart; the arrow keys read a chart, day by day."""
    with browser.page() as page:
        page.open(site.url + WEEK)
        wanted = page.run(
            """[...document.querySelectorAll("a[href], summary, .plot, .scroll")].filter((element) =>
              element.checkVisibility() && !element.closest("details:not([open]) > .scroll")).length"""
        )
        reached = set()
        for _ in range(wanted + 5):
            page.press("Tab")
            reached.add(
                page.run(
                    """document.activeElement === document.body ? -1
                    : [...document.querySelectorAll("*")].indexOf(document.activeElement)"""
                )
            )
        assert len(reached - {-1}) == wanted
        page.run("document.getElementById('now-days').focus()")
        page.press("End")
        assert page.run("document.getElementById('now-days-readout').innerText").startswith("2026-11-25")
        page.press("ArrowLeft")
        assert page.run("document.getElementById('now-days-readout').innerText").startswith("2026-11-24")
        page.press("Home")
        assert page.run("document.getElementById('now-days-readout').innerText").startswith("2026-08-28")


def test_the_pointer_reads_values(site: Site, browser: Browser) -> None:
    """The value under it is shown beside the chart, until it leaves."""
    with browser.page(width=1000) as page:
        page.open(site.url + WEEK)
        box = page.run(
            "(({x, y, width}) => ({x, y, width}))(document.getElementById('now-days').getBoundingClientRect())"
        )
        page.point_at(box["x"] + box["width"] - 3, box["y"] + 10)
        readout = "document.getElementById('now-days-readout').innerText"
        until(lambda: page.run(readout).startswith("2026-11-25 00:00 to 14:20"), "the value of today")
        page.point_at(5, 5)
        until(lambda: page.run(readout) == "", "the value to go")


def test_the_page_is_whole_without_script(site: Site, browser: Browser) -> None:
    """Everything is in the HTML that the server sends, and the tables open without a script."""
    with browser.page(script=False) as page:
        page.open(site.url + WEEK)
        assert page.run("document.querySelectorAll('.readable').length") == 0
        assert page.run("document.querySelector('#latency svg').getBoundingClientRect().height") > 200
        assert page.run("document.querySelectorAll('#now-days path').length") >= 3
        table = "document.querySelector('#latency-table table').checkVisibility()"
        assert not page.run(table)
        page.run("document.querySelector('#latency-table summary').focus()")
        page.press("Enter")
        until(lambda: page.run(table), "the table to open")


def test_a_page_loads_nothing_from_elsewhere(site: Site, browser: Browser) -> None:
    """No font, no picture, no script from another host: whoever checks is seen by us alone."""
    with browser.page() as page:
        for path in PAGES.values():
            page.open(site.url + path)
        requested = [event["request"]["url"] for event in page.seen("Network.requestWillBeSent")]
    assert len(requested) > len(PAGES)
    assert [url for url in requested if not url.startswith((site.url + "/", "data:"))] == []


def test_hostile_names_and_details_do_nothing(site: Site, browser: Browser) -> None:
    """They are there to be read, letter by letter, and neither run, load nor break what is around them."""
    with browser.page() as page:
        for path in (PAGES["front"], PAGES["hostile"]):
            page.open(site.url + path)
            assert page.run(
                "[...document.scripts].map((script) => new URL(script.src).pathname).join()"
            ).startswith("/assets/page.")
            assert (
                page.run("document.querySelectorAll('main img, main b, main script, [onload], [onerror]').length")
                == 0
            )
            assert HOSTILE_NAME in page.run("document.body.innerText")
            assert "<img src=x onerror=alert(1)>" in page.run("document.body.innerText")
        assert page.complaints == []
        assert page.seen("Page.javascriptDialogOpening") == []


def test_a_refresh_keeps_what_is_open_and_where_the_reader_is(browser: Browser) -> None:
    """New values come without a flash: open tables, focus and scroll stay; a monitor that is gone is reported."""
    overview = MadeOverview(DATABASES, now=NOW)
    with browser.page(height=500) as page:
        with serving(build(overview)) as port:
            url = f"http://127.0.0.1:{port}/"
            # The clock of the page's timers is ours, so that nobody waits for fifteen seconds.
            page.command(
                "Page.addScriptToEvaluateOnNewDocument",
                source="window.setInterval = (work, ms) => { window.tick = work; window.tickMs = ms; };",
            )
            page.open(url)
            assert page.run("tickMs") == 15000
            page.run(
                """{ const details = document.getElementById("d-main-table"); details.open = true;
                details.querySelector("summary").focus(); scrollTo(0, 700);
                document.querySelector("article.card").classList.add("old"); }"""
            )
            before = page.run("scrollY")
            icon = "document.querySelector('link[rel=icon]').getAttribute('href')"
            assert page.run(icon).startswith("/assets/icon-down.")
            page.run("tick()")
            until(lambda: page.run("document.querySelectorAll('.card.old').length") == 0, "the new content")
            assert page.run("document.getElementById('d-main-table').open") is True
            assert page.run("document.activeElement.parentElement.id") == "d-main-table"
            assert page.run("scrollY") == before
            assert page.run("document.getElementById('stale-note').innerText") == ""
            overview.databases = {"main": overview.databases["main"]}
            until(lambda: "/icon-up." in page.run(f"tick(), {icon}"), "the icon of another state")
        readout = "document.getElementById('stale-note').innerText"
        until(lambda: "cannot be reached" in page.run(f"tick(), {readout}"), "word that the monitor is gone")
        assert page.run(icon).startswith("/assets/icon-unknown.")
        assert page.run("document.querySelectorAll('article.card').length") == 1


def test_the_report_is_one_file_that_loads_nothing(browser: Browser, tmp_path: Path, site: Site) -> None:
    """It opens from a disk, fits, asks for nothing, allows no script, and axe finds nothing."""
    histories = [history for _, history in sorted(_histories(site.overview).items())]
    file = tmp_path / "report.html"
    file.write_text(render_report(histories, now=NOW, title="November <b>2026</b>"), encoding="utf-8")
    with browser.page(width=900) as page:
        page.open(file.as_uri())
        requested = [event["request"]["url"] for event in page.seen("Network.requestWillBeSent")]
        assert requested == [file.as_uri()]
        assert page.complaints == []
        assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(245, 246, 248)"
        assert page.run("document.documentElement.scrollWidth") == 900
        assert page.run("document.querySelector('h1').innerText") == "November <b>2026</b>"
        page.screenshot(PICTURES / "report.png")
        assert axe(page) == []


def _histories(overview: MadeOverview) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        return {
            name: await overview.history(
                name, start=NOW - timedelta(days=30), end=NOW, grain=Grain.DAY, compare=True
            )
            for name in ("main", "sessions-eu", HOSTILE_NAME)
        }

    return asyncio.run(read())
