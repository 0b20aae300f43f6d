"""What comes back over HTTP: pages, badges and JSON, refusals in plain words, headers, and who may have them."""

from __future__ import annotations

import gzip
import json
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

import pytest

from monitor.checks.observation import Check, Outcome, Phases
from monitor.config.settings import DatabaseSettings, HistorySettings, Settings
from monitor.engine.scheduler import Health
from monitor.incidents.rules import advance
from monitor.lib.text import Secret
from monitor.lib.threads import SerialThread
from monitor.report.overview import Overview
from monitor.store.store import Store
from monitor.web import app
from monitor.web.cache import CachedResponse, compress
from tests.judging import QUICK, explain
from tests.program import until
from tests.web.conftest import HttpAnswer, Site, build, serving
from tests.web.figures import Series, expected
from tests.web.made import DATABASES, HIDDEN_HOST, HOSTILE, HOSTILE_NAME, NOW, MadeDatabase, MadeOverview
from tests.web.scrapers import read

PASSWORD = "pässword: with spaces"
PATHS = ("/", "/databases/main", "/badge/main.svg", "/api/databases", "/api/databases/main/history", "/healthz")


def basic(password: str, user: str = "anybody") -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def locked() -> Iterator[Site]:
    """One database behind a password."""
    overview = MadeOverview(DATABASES[-1:], now=NOW)
    with serving(build(overview, password=PASSWORD)) as port:
        yield Site(port=port, overview=overview)


def body(answer: HttpAnswer) -> Any:
    assert answer.status == 200
    return json.loads(answer.body)


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_the_body(site: Site, path: str) -> None:
    """Same status, same headers."""
    got, head = site.ask(path), site.ask(path, "HEAD")
    assert (got.status, head.status) == (200, 200)
    assert head.body == b""
    assert head.headers == got.headers
    assert len(got.body) == int(head.headers["content-length"])


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"])
@pytest.mark.parametrize("path", ["/", "/healthz", "/api/databases", "/nothing"])
def test_nothing_can_be_changed_over_http(site: Site, method: str, path: str) -> None:
    """405 with what is allowed, in plain words."""
    answer = site.ask(path, method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.text == f"wanted GET or HEAD, found {method}. Next: nothing here can be changed over HTTP\n"


@pytest.mark.parametrize("path", [*PATHS, "/nothing", "/api/nothing", "/databases/nobody", "/?x"])
def test_every_answer_has_the_security_headers(site: Site, path: str) -> None:
    """No foreign script, style or frame, no sniffing, no referrer; and no `Server` header."""
    headers = site.ask(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert "server" not in headers
    assert "cache-control" in headers


@pytest.mark.parametrize(
    ("path", "accept", "content_type"),
    [
        ("/nothing", "text/html", "text/html; charset=utf-8"),
        ("/nothing", "*/*", "text/plain; charset=utf-8"),
        ("/databases/nobody", "text/html", "text/html; charset=utf-8"),
        ("/badge/nobody.svg", "image/*", "text/plain; charset=utf-8"),
        ("/badge/main", "image/*", "text/plain; charset=utf-8"),
        ("/api/databases/nobody/history", "text/html", "application/json"),
        ("/healthz/", "*/*", "text/plain; charset=utf-8"),
        ("/assets/page.css", "*/*", "text/plain; charset=utf-8"),
    ],
)
def test_an_unknown_address_is_refused_in_words(site: Site, path: str, accept: str, content_type: str) -> None:
    """404 in the format that fits: a page for browsers, JSON below /api/, else a line of text."""
    answer = site.ask(path, Accept=accept)
    assert (answer.status, answer.headers["content-type"]) == (404, content_type)
    assert "wanted" in answer.text.lower()
    assert "Next: " in answer.text
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("since=yesterday", "since: wanted a duration such as 24h or 7d, or a time such as 2026-11-23T14:00:00Z"),
        ("since=-1h", "since: wanted a duration"),
        ("since=1e9h", "since: wanted a duration"),
        ("since=1h&until=2h", "wanted since to be further back than until"),
        ("since=0", "wanted since to be further back than until"),
        ("since=90d&grain=hour", "wanted at most 1000 slices in one answer"),
        ("since=20y", "wanted at most 1000 slices in one answer"),
        ("grain=minute", "grain: wanted hour or day, found 'minute'. Next: ask for ?grain=hour"),
        ("limit=1001", "limit: wanted a whole number from 0 to 1000, found '1001'"),
        ("limit=-1", "limit: wanted a whole number"),
        ("limit=ten", "limit: wanted a whole number"),
        ("limit=%D9%A1", "limit: wanted a whole number"),
        ("before=2026-13-40", "before: wanted a duration"),
        ("sicne=24h", "parameter: wanted one of since, until, grain, limit, before, found 'sicne'"),
    ],
)  # fmt: skip
def test_parameters_out_of_bounds_are_refused(site: Site, query: str, text: str) -> None:
    """400 with wanted, found, next; nothing is quietly cut or ignored."""
    answer = site.ask(f"/api/databases/main/history?{query}")
    assert answer.status == 400
    error = json.loads(answer.body)["error"]
    assert error.startswith(text)
    assert ". Next: " in error


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/databases/main?span=decade", "span: wanted day, week, month or year, found 'decade'"),
        ("/badge/main.svg?show=%3Cb%3E", "show: wanted state, uptime or latency, found '<b>'"),
    ],
)
def test_pages_and_badges_are_as_strict(site: Site, path: str, text: str) -> None:
    """A page that shows something else than the address says would mislead."""
    answer = site.ask(path)
    assert answer.status == 400
    assert answer.text.startswith(text)


def test_all_databases_as_json(site: Site) -> None:
    """What the page shows, in the keys of `check --json`; what is not known is null."""
    document = body(site.ask("/api/databases"))
    assert (document["version"], document["as_of"]) == (1, "2026-11-25T14:20:31.482Z")
    rows = {row["database"]: row for row in document["databases"]}
    assert list(rows) == [made.name for made in (*DATABASES, HOSTILE)]
    sessions = rows["sessions-eu"]
    assert {key: sessions[key] for key in ("state", "outcome", "family", "ok", "latency_ms", "detail")} == {
        "state": "down",
        "outcome": "token_rejected",
        "family": "token",
        "ok": False,
        "latency_ms": None,
        "detail": "WRONGPASS invalid or missing auth token",
    }
    assert sessions["incident"]["opened_at"] == "2026-11-25T11:42:31.482Z"
    assert sessions["incident"]["causes"] == ["response_timeout", "token_rejected"]
    assert sessions["meaning"]
    assert len(sessions["next_steps"]) == 3
    uptime = rows["main"]["uptime"]
    known = uptime["up_seconds"] + uptime["down_seconds"]
    assert uptime["share"] == pytest.approx(uptime["up_seconds"] / known)
    assert rows["main"]["schedule"]["commands_30d"] == {"checks": 43200, "sent_at_worst": 388800, "billed": 2160}
    added = rows["just-added"]
    assert [added[key] for key in ("state", "outcome", "checked_at", "ok", "detail")] == ["unknown", *[None] * 4]


def test_a_history_as_json(site: Site) -> None:
    """Slices that cover the whole span, gaps, incidents, and the span before to compare with."""
    document = body(site.ask("/api/databases/main/history?since=15d&grain=day"))
    assert (document["database"], document["grain"]) == ("main", "day")
    slices = document["slices"]
    assert (slices[0]["start"], slices[-1]["end"]) == (document["start"], document["end"])
    assert all(one["end"] == other["start"] for one, other in pairwise(slices))
    assert sum(one["checks"] for one in slices) == pytest.approx(document["whole"]["checks"], abs=len(slices) * 2)
    [gap] = document["gaps"]
    assert datetime.fromisoformat(gap["end"]) - datetime.fromisoformat(gap["start"]) == timedelta(hours=9)
    assert document["incidents"][0]["cause"] == "response_timeout"
    assert document["before"]["end"] == document["start"]
    assert set(document["phases_ms"]) == {"dns", "connect", "tls", "wait", "read", "total"}


def test_spans_are_durations_or_times(site: Site) -> None:
    """A duration is so long ago; a time is a time, of any zone; nothing reaches into the future."""
    ago = body(site.ask("/api/databases/main/history?since=3h&until=1h"))
    told = body(
        site.ask(
            "/api/databases/main/history?since=2026-11-25T11:20:31.482Z&until=2026-11-25T14:20:31.482%2B01:00"
        )
    )
    assert (ago["start"], ago["end"]) == ("2026-11-25T11:20:31.482Z", "2026-11-25T13:20:31.482Z")
    assert (told["start"], told["end"]) == (ago["start"], ago["end"])
    assert body(site.ask("/api/databases/main/history?until=2030-01-01"))["end"] == "2026-11-25T14:20:31.482Z"


def test_checks_are_read_page_by_page(site: Site) -> None:
    """Every check of the span once, the newest first, with `next_before` as the way on and null at the end."""
    seen: list[str] = []
    before, pages = "", 0
    while True:
        document = body(site.ask(f"/api/databases/main/history?since=1h&limit=25{before}"))
        page = [check["at"] for check in document["checks"]]
        assert len(page) <= 25
        seen += page
        pages += 1
        if document["next_before"] is None:
            break
        before = f"&before={document['next_before']}"
    assert pages == 3
    assert len(seen) == len(set(seen)) == 60
    assert seen == sorted(seen, reverse=True)
    assert body(site.ask("/api/databases/main/history?limit=0"))["checks"] == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/badge/main.svg", ["main", "up"]),
        ("/badge/sessions-eu.svg", ["sessions-eu", "down"]),
        ("/badge/analytics.svg?show=state", ["analytics", "in doubt"]),
        ("/badge/main.svg?show=uptime", ["main uptime", "99.7"]),
        ("/badge/main.svg?show=latency", ["main latency", " ms"]),
        ("/badge/just-added.svg?show=latency", ["just-added latency", "–"]),
        ("/badge/just-added.svg?show=uptime", ["just-added uptime", "–"]),
    ],
)
def test_badges_have_two_parts(site: Site, path: str, text: list[str]) -> None:
    """Label and value, side by side, with the same words as title."""
    answer = site.ask(path)
    assert answer.headers["content-type"] == "image/svg+xml; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=30"
    drawing = ET.fromstring(answer.body)
    texts = [one.text or "" for one in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == text[0]
    assert text[1] in texts[1]
    assert drawing.findtext("{http://www.w3.org/2000/svg}title") == ": ".join(texts)
    whole = float(drawing.attrib["width"])
    parts = [float(one.attrib["width"]) for one in drawing.iter("{http://www.w3.org/2000/svg}rect")]
    assert parts == [whole, pytest.approx(whole - parts[2]), parts[2]]


def test_a_browser_caches_what_has_not_changed(site: Site) -> None:
    """An unchanged answer is 304; the page's own files are cached for good, by an address that changes."""
    first = site.ask("/")
    assert first.headers["cache-control"] == "public, no-cache"
    again = site.ask("/", If_None_Match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert site.ask("/", If_None_Match='W/"another"').status == 200
    style = first.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    found = site.ask(style)
    assert found.headers["content-type"] == "text/css; charset=utf-8"
    assert found.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_answers_are_compressed_for_clients_that_accept_gzip(site: Site) -> None:
    """The same page, a fraction of the bytes."""
    plain, gzipped = site.ask("/"), site.ask("/", Accept_Encoding="gzip, br")
    assert gzipped.headers["content-encoding"] == "gzip"
    assert gzipped.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(gzipped.body) == plain.body
    assert len(gzipped.body) < len(plain.body) / 4


@pytest.mark.parametrize("path", [*PATHS, "/metrics", "/nothing"])
def test_with_a_password_all_but_healthz_ask_for_it(locked: Site, path: str) -> None:
    """With any user name; only the whole password counts, and without it nothing is shown."""
    if path == "/healthz":
        assert locked.ask(path).status == 200
        return
    for wrong in (
        None,
        basic(""),
        basic(PASSWORD[:-1]),
        basic(PASSWORD + "x"),
        "Basic !!",
        "Bearer x",
        basic(PASSWORD)[6:],
    ):
        answer = locked.ask(path) if wrong is None else locked.ask(path, Authorization=wrong)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="upstash-monitor", charset="UTF-8"'
        assert "just-added" not in answer.text
    for user in ("", "admin", "someone else"):
        answer = locked.ask(path, Authorization=basic(PASSWORD, user))
        assert answer.status != 401
        assert "public" not in answer.headers["cache-control"]


def test_without_the_password_no_method_and_no_address_shows_anything(locked: Site) -> None:
    """Neither which addresses there are, nor through another spelling of the open one."""
    for path in ("/healthz/", "/healthz/../", "//healthz", "/%68ealthz/x", "/healthz%2f..%2f"):
        assert locked.ask(path).status == 401
    assert locked.ask("/", "POST").status == 401
    assert locked.ask("/%68ealthz").status == 200  # the same address, spelt otherwise


def test_a_scrape_gets_every_series_in_the_format_it_asks_for(site: Site) -> None:
    """The totals of the history, the missed checks, the process; plain text unless OpenMetrics is named."""
    plain = site.ask("/metrics")
    assert _without_process(read(plain.text)) == expected()
    assert plain.headers["content-type"].startswith("text/plain")
    assert plain.headers["cache-control"] == "no-store"
    openmetrics = site.ask("/metrics", Accept="application/openmetrics-text")
    assert _without_process(read(openmetrics.text, as_openmetrics=True)) == expected()
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")


def _without_process(series: Series) -> Series:
    """Its own memory and descriptors are there, and change."""
    own = {key for key in series if key[0].startswith("process_")}
    assert {"process_resident_memory_bytes", "process_open_fds"} <= {name for name, _ in own}
    return {key: value for key, value in series.items() if key not in own}


@pytest.mark.parametrize("path", ["/", f"/databases/{quote(HOSTILE_NAME, safe='')}", "/api/databases",
                                  f"/api/databases/{quote(HOSTILE_NAME, safe='')}/history",
                                  f"/badge/{quote(HOSTILE_NAME, safe='')}.svg"])  # fmt: skip
def test_no_address_leaves_and_hostile_texts_are_inert(site: Site, path: str) -> None:
    """Neither a host's name nor a URL nor a credential out of a detail; markup in names and details is escaped."""
    text = site.ask(path).text
    for secret in ("ugly-host", HIDDEN_HOST, "user:pass", "abcdefgh12345678"):
        assert secret not in text
    if not path.startswith("/api/"):
        for markup in ("<script>alert", "<svg onload", "<img", "<b>'"):
            assert markup not in text
    assert not set(text) & {"\x00", "\x07", "\x1b", "\ud800"}


def test_a_name_of_ten_thousand_letters_is_cut() -> None:
    """A name as long as that is cut where it is shown, and its badge stays a badge."""
    name = "<" + "n" * 10_000
    overview = MadeOverview((MadeDatabase(name=name, latency_ms=1.0, since=timedelta(days=2)),), now=NOW)
    with serving(build(overview)) as port:
        site = Site(port=port, overview=overview)
        badge = site.ask(f"/badge/{quote(name)}.svg")
        assert badge.status == 200
        assert float(ET.fromstring(badge.body).attrib["width"]) < 600
        page = site.ask("/").text
        assert name not in page.replace("&lt;", "<").partition("<h2>")[2].partition("</h2>")[0]


def test_many_visitors_cost_as_much_as_one() -> None:
    """Requests within a second are answered from the cache, whatever else is in the address."""
    overview = MadeOverview(DATABASES[:1], now=NOW)
    with serving(build(overview)) as port:
        visitors = Site(port=port, overview=overview)
        began = monotonic()
        for number in range(20):
            visitors.ask(f"/?visitor={number}")
            visitors.ask(f"/metrics?visitor={number}")
        took = monotonic() - began
    assert overview.reads["statuses"] <= 2 + took
    assert overview.reads["totals"] <= 2 + took


def test_what_is_of_one_database_reads_that_database_alone() -> None:
    """A badge on somebody else's busy page does not read the ninety days of all databases."""
    overview = MadeOverview(DATABASES[:2], now=NOW)
    with serving(build(overview)) as port:
        site = Site(port=port, overview=overview)
        for path in ("/databases/main", "/badge/main.svg", "/api/databases/main/history"):
            assert site.ask(path).status == 200
    assert (overview.reads["statuses"], overview.reads["status"]) == (0, 3)


def test_a_real_history_file_is_served(tmp_path: Path) -> None:
    """Not the made overview but the store and its thread: what was recorded is on every address."""
    settings = Settings(
        databases=(DatabaseSettings(name="main", url=Secret("https://h"), token=Secret("t")),),
        history=HistorySettings(path=str(tmp_path / "history.db")),
    )
    store = Store(tmp_path / "history.db", channels=("log",), log=lambda level, text: None, clock=lambda: NOW)

    def record(check: Check) -> None:
        store.record(
            check,
            lambda state, number: advance(state, check, QUICK, next_incident=number, explain=explain),
            interval=timedelta(minutes=1),
        )

    for minutes in (3, 2, 1):
        phases = Phases(dns=1.0, connect=8.0, tls=9.0, wait=20.0, read=0.5, total=40.0)
        at = NOW - timedelta(minutes=minutes)
        record(Check(database="main", at=at, outcome=Outcome.OK, http_status=200, phases=phases))
    store_thread = SerialThread("store")
    overview = Overview(settings, store, store_thread, lambda: NOW)
    web_app = app.build_app(
        lambda: Health(overdue=(), databases=1, has_checked=True),
        overview,
        missed_checks=lambda: 0,
        clock=lambda: NOW,
    )
    try:
        with serving(web_app) as port:
            site = Site(port=port, overview=MadeOverview())
            [main] = body(site.ask("/api/databases"))["databases"]
            assert (main["state"], main["latency_ms"]) == ("up", 20.5)
            assert [check["outcome"] for check in body(site.ask("/api/databases/main/history"))["checks"]] == [
                "ok"
            ] * 3
            assert "The database is up" in site.ask("/").text
            assert "20.5 ms" in site.ask("/databases/main").text
            assert 'upstash_probe_outcomes_total{database="main",outcome="ok"} 3.0' in site.ask("/metrics").text
            assert site.ask("/databases/other").status == 404
    finally:
        store_thread.stop(store.close)


def test_everything_is_rendered_on_one_worker_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop, in which the checks run, never renders or compresses; and no two threads do at once."""
    threads: Counter[str] = Counter()
    working = threading.Lock()

    def watched(body: bytes, content_type: str) -> CachedResponse:
        assert working.acquire(blocking=False), "two threads at once"
        try:
            threads[threading.current_thread().name] += 1
            return compress(body, content_type)
        finally:
            working.release()

    monkeypatch.setattr(app, "compress", watched)
    overview = MadeOverview(DATABASES[:1], now=NOW)
    with serving(build(overview)) as port:
        site = Site(port=port, overview=overview)
        paths = [path for path in PATHS if path != "/healthz"] + ["/metrics"]
        with ThreadPoolExecutor(len(paths)) as visitors:
            assert {answer.status for answer in visitors.map(site.ask, paths)} == {200}
    assert threads == {"page": len(paths)}


def test_an_error_inside_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """500 in plain words with all headers; what went wrong is in the log alone. The next visitor is served."""
    overview = MadeOverview(DATABASES[:1], now=NOW)
    with serving(build(overview)) as port:
        site = Site(port=port, overview=overview)
        databases, overview.databases = overview.databases, None  # type: ignore[assignment]  # makes it raise
        answer = site.ask("/")
        overview.databases = databases
        assert answer.status == 500
        assert "failed inside" in answer.text
        assert "databases" not in answer.text
        assert "content-security-policy" in answer.headers
        until(lambda: "NoneType" in caplog.text, "the log")
        assert site.ask("/").status == 200
