"""An incident is acknowledged on the page: where a password is set, by its own button, and by nobody else."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest

from monitor.web.cache import CachedResponse, ResponseCache, compress
from tests.program import ROOT, until
from tests.web.browser import Browser
from tests.web.conftest import HttpAnswer, Site, build, serving
from tests.web.made import DATABASES, NOW, MadeDatabase, MadeOverview, incident
from tests.web.test_answers import PASSWORD, basic

PICTURES = ROOT / "build" / "screenshots"
[QUEUE] = [made for made in DATABASES if made.name == "queue"]
ACK, LOGIN = "/incidents/13/ack", basic(PASSWORD)


def served(*databases: MadeDatabase, password: str | None = PASSWORD) -> Iterator[Site]:
    overview = MadeOverview(databases, now=NOW)
    with serving(build(overview, password=password)) as port:
        yield Site(port=port, overview=overview)


@pytest.fixture
def locked() -> Iterator[Site]:
    assert QUEUE.incident is not None
    over = replace(QUEUE, name="a/b", incident=incident(7, NOW, QUEUE.incident.cause, closed_at=NOW))
    yield from served(QUEUE, over)


@pytest.fixture
def unlocked() -> Iterator[Site]:
    yield from served(QUEUE, password=None)


def is_known(site: Site) -> bool:
    """Whether the JSON calls the incident of `queue` acknowledged."""
    [row] = [
        row
        for row in json.loads(site.ask("/api/databases", Authorization=LOGIN).body)["databases"]
        if row["database"] == "queue"
    ]
    return row["incident"]["acknowledged_at"] is not None


def post(site: Site, path: str = ACK, **headers: str) -> HttpAnswer:
    return site.ask(path, "POST", Authorization=LOGIN, **headers)


def test_it_is_acknowledged_once_and_shown_at_once(locked: Site) -> None:
    """The answer leads to the database's page, by GET; page and JSON say so, and there is no button any more."""
    page = locked.ask("/", Authorization=LOGIN).text
    assert f'<form method="post" action="{ACK}">' in page
    assert "Somebody knows of it" not in page
    assert not is_known(locked)
    for _ in range(2):
        done = post(locked)
        assert (done.status, done.headers["location"], done.body) == (303, "/databases/queue", b"")
    assert is_known(locked)
    for path in ("/", "/databases/queue"):
        page = locked.ask(path, Authorization=LOGIN).text
        assert "Somebody knows of it: no more reminders." in page
        assert ACK not in page


def test_the_command_of_the_page_acknowledges(locked: Site) -> None:
    """As docs/page.md has it, by curl itself: 303, as it says there."""
    if shutil.which("curl") is None:
        pytest.skip("wanted curl, found none. Next: apt-get install curl")
    written = (ROOT / "docs" / "page.md").read_text(encoding="utf-8")
    found = re.search(
        r"^curl -u :PASSWORD (-X POST) https://monitor\.example/incidents/12/ack +# (303)", written, re.M
    )
    assert found is not None
    status = ("--silent", "--noproxy", "*", "--write-out", "%{http_code}")
    command = ["curl", *status, "-u", f":{PASSWORD}", *found[1].split(), f"http://127.0.0.1:{locked.port}{ACK}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == found[2]
    assert is_known(locked)


FORGED = (
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "none"},
    {"Sec_Fetch_Site": "cross-site", "Origin": "http://{host}"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://{host}.evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://["},
)
OWN: tuple[dict[str, str], ...] = (
    {},
    {"Sec_Fetch_Site": "same-origin"},
    {"Origin": "http://{host}"},
    {"Origin": "https://{host}"},
    {"Sec_Fetch_Site": "same-origin", "Origin": "null"},
)


def test_a_page_of_another_site_cannot_have_a_browser_do_it(locked: Site) -> None:
    """The browser would add the password by itself. Programs say nothing of a site."""
    for cases, status in ((FORGED, 403), (OWN, 303)):
        assert not is_known(locked)
        for headers in cases:
            given = {name: value.format(host=f"127.0.0.1:{locked.port}") for name, value in headers.items()}
            assert post(locked, **given).status == status, headers


def test_only_who_knows_the_password_does_it(locked: Site, unlocked: Site) -> None:
    """Without one that is set nobody does, and there is no button."""
    for headers in ({}, {"Authorization": basic("guess")}):
        assert locked.ask(ACK, "POST", **headers).status == 401
    assert not is_known(locked)
    refused = unlocked.ask(ACK, "POST")
    assert (refused.status, "Next: set STATUS_PASSWORD" in refused.text) == (403, True)
    page = unlocked.ask("/")
    assert "<form" not in page.text
    assert "form-action 'none'" in page.headers["content-security-policy"]
    assert "form-action 'self'" in locked.ask("/", Authorization=LOGIN).headers["content-security-policy"]


def test_another_method_changes_nothing(locked: Site, unlocked: Site) -> None:
    """405 with what is allowed, with and without a password."""
    for site in (locked, unlocked):
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            answer = site.ask(ACK, method, Authorization=LOGIN)
            assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert not is_known(locked)


def test_what_is_no_open_incident_is_said_in_words(locked: Site) -> None:
    """Over already, or never given: wanted, found, next."""
    for number in ("7", "99", "0", "x", "1" * 40, "%D9%A3", "13%20"):
        answer = post(locked, f"/incidents/{number}/ack")
        assert answer.status == (409 if number == "7" else 404)
        assert answer.text.startswith("wanted an open incident, found ")


def test_what_is_being_made_when_something_changes_is_kept_for_nobody() -> None:
    """Who asks after a change gets an answer that was read after it."""

    async def play() -> None:
        cache, may_finish, made = ResponseCache(clock=lambda: 0.0), asyncio.Event(), Counter[str]()

        async def make() -> CachedResponse:
            made["front"] += 1
            number = made["front"]
            has_begun.set()
            await may_finish.wait()
            return compress(str(number).encode(), "text/plain")

        has_begun = asyncio.Event()
        before = asyncio.create_task(cache.get("front", make))
        await has_begun.wait()
        cache.forget()
        after = asyncio.create_task(cache.get("front", make))
        may_finish.set()
        assert [(await before).body, (await after).body] == [b"1", b"2"]
        assert (await cache.get("front", make)).body == b"2"

    asyncio.run(play())


def test_the_button_works_without_a_script(locked: Site, browser: Browser) -> None:
    """A real browser sends the form as one of this page's, with the password it was given."""
    with browser.page(width=375, script=False) as page:
        page.open(f"http://me:{quote(PASSWORD)}@127.0.0.1:{locked.port}/")
        page.screenshot(PICTURES / "acknowledge-before.png")
        page.run("document.querySelector('button').focus()")
        page.press("Enter")
        until(lambda: is_known(locked), "the acknowledgement")
        until(lambda: page.run("location.pathname") == "/databases/queue", "the page of the database")
        until(lambda: page.run("document.readyState") == "complete", "the page to load")
        page.screenshot(PICTURES / "acknowledge-after.png")
        assert page.complaints == []
