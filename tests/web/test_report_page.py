"""The report as one file: self-contained, inert whatever it is about, and the same figures as everywhere."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from datetime import timedelta
from hashlib import sha256
from html.parser import HTMLParser

from monitor.report.formatting import format_ms, format_share
from monitor.store.rollups.model import Grain, History
from monitor.web.pages.pages import render_report
from tests.web.made import DATABASES, HOSTILE, HOSTILE_NAME, NOW, MadeOverview

OVERVIEW = MadeOverview((*DATABASES, HOSTILE), now=NOW)


def history(name: str, days: int = 30, grain: Grain = Grain.DAY) -> History:
    start = NOW - timedelta(days=days)
    return asyncio.run(OVERVIEW.history(name, start=start, end=NOW, grain=grain, compare=True))


class Tags(HTMLParser):
    """Every element of a document with its attributes, and the text between them."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_it_loads_nothing_and_forbids_itself_to() -> None:
    """No script, no link, no picture from elsewhere; the one style sheet is allowed by its own checksum."""
    document = render_report([history("main")], now=NOW, title="October")
    found = Tags(document)
    names = {tag for tag, _ in found.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "base", "form"}
    assert not [attributes for _, attributes in found.tags if {"src", "href", "style"} & set(attributes)]
    assert not [key for _, attributes in found.tags for key in attributes if key.startswith("on")]
    [policy] = [attributes["content"] for _, attributes in found.tags if "http-equiv" in attributes]
    style = document.partition("<style>")[2].partition("</style>")[0]
    assert (
        policy == f"default-src 'none'; style-src 'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'"
    )
    assert "url(" not in style
    assert "@import" not in style


def test_it_has_the_figures_of_the_history() -> None:
    """Uptime with what it rests on, percentiles, outcomes, incidents, gaps, and a row for each slice."""
    found = history("main")
    document = render_report([found], now=NOW, title="October")
    said = re.sub(r"\s+", " ", Tags(document).text)
    assert found.whole.latency is not None
    for words in (
        "October",
        "made 2026-11-25 14:20:31 UTC",
        format_share(found.whole.uptime.share),
        format_ms(found.whole.latency.p99_ms),
        "response timed out",
        "2026-11-13 07:08 UTC to 2026-11-13 16:08 UTC, 9 h",
        "incident 9",
    ):
        assert words in said
    assert document.count('<th scope="row">2026-') == len(found.slices)


def test_several_databases_stand_in_one_file() -> None:
    """Each has a heading, also one without a history; ids are not used twice; no database at all is said."""
    document = render_report([history(made.name) for made in DATABASES], now=NOW, title="All")
    found = Tags(document)
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for made in DATABASES:
        assert made.name in found.text
    assert "No database, no history." in render_report([], now=NOW, title="None")


def test_hostile_names_are_read_and_not_run() -> None:
    """In the title as well."""
    document = render_report([history(HOSTILE_NAME, 2, Grain.HOUR)], now=NOW, title=f"{HOSTILE_NAME}\x00</title>")
    found = Tags(document)
    assert "script" not in {tag for tag, _ in found.tags}
    assert HOSTILE_NAME in found.text
    assert "\x00" not in document
