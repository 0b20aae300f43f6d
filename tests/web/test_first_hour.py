"""What the page shows when little is known yet: the checks there were, and no figure that says nothing."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.web.made import HIDDEN_HOST
from tests.web.states import STATES, TITLE, serving_state


def words(document: str) -> str:
    """What is read of it: no tags, no description of a picture, one blank between words."""
    body = re.sub(r"<desc>.*?</desc>|<title>.*?</title>", "", document.partition("<body>")[2], flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


@pytest.fixture
def documents(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The front page, as `/`, and the page of each database, by its name."""
    state: str = request.param
    with serving_state(state, tmp_path) as url:
        paths = {"/": "/"} | {name: f"/databases/{name}" for name in STATES[state]}
        return {name: urlopen(url + path).read().decode() for name, path in paths.items()}


@pytest.mark.parametrize("documents", list(STATES), indirect=True)
def test_no_figure_says_nothing(documents: dict[str, str]) -> None:
    """No dash in a figure's place, no share of some minutes, no days before the first check."""
    for document in documents.values():
        text = words(document)
        assert not re.search(r"– (now|nothing)|p\d\d –|89 d|90 days|nothing is known|\b0\.00? %", text)
        assert HIDDEN_HOST not in document
        assert f"<title>{TITLE}" not in document
        assert f"· {TITLE}</title>" in document
        assert text.startswith(f"Skip to the content {TITLE} ")


@pytest.mark.parametrize("documents", ["first-check"], indirect=True)
def test_what_was_never_checked_is_not_called_up_or_without_downtime(documents: dict[str, str]) -> None:
    """It waits for its first check, on both pages; the one beside it has one bar, and no percentile."""
    assert words(documents["/"]).partition("as of")[0].endswith("1 of 2 databases waits for its first check ")
    never, first = words(documents["cache"]), words(documents["main"])
    assert "cache waits for its first check" in never
    assert not re.search("[Dd]owntime|No gap|no gap|No check|uptime", never)
    assert "the first check" in first
    assert not re.search(r"p50|p99|Uptime|Downtime|Past incidents", first)
    assert documents["main"].count('class="up"') == 2  # its bar, and the legend
    assert not re.search("Since the first check|Slowest|No check", first)


@pytest.mark.parametrize("documents", ["ten-minutes"], indirect=True)
def test_in_the_first_minutes_the_checks_are_shown_and_no_days(documents: dict[str, str]) -> None:
    """A strip of them, as wide as they are many; the calm database says in one line that there was nothing."""
    for document in (documents["/"], documents["main"]):
        assert "the last 10 checks, since 14:11 UTC" in words(document)
        assert "day by day" not in document
    assert re.search(r"\d ms now", words(documents["main"]))
    assert not re.search(r"\d ms now", words(documents["sessions"]))  # a refusal's latency is not the database's
    main = words(documents["main"])
    assert "Since the first check, 2026-11-25 14:11:27 UTC" in main
    assert "No check failed or was slow, no incident, no gap." in main
    assert not re.search("What went wrong|Past incidents|Gaps|Latency by|Week", main)
    assert "Downtime 2 min in 2 min" in words(documents["sessions"])
    assert "icon-down." in documents["/"].partition("<body>")[0]
    assert "icon-up." in documents["main"].partition("<body>")[0]


@pytest.mark.parametrize("documents", ["hour"], indirect=True)
def test_after_an_hour_incidents_are_told_from_slowness_and_past_from_open(documents: dict[str, str]) -> None:
    """A slow incident has slow checks, not failed ones; the past one is on the front page with a link."""
    front, main, queue = (words(documents[name]) for name in ("/", "main", "queue"))
    assert re.search(
        r"Incident \d+: slow; opened at once\. \d checks slow\.|Incident \d+: slow; .*? checks slow", front
    )
    assert "checks failed" not in queue
    past = documents["/"].partition("Past incidents")[2]
    assert '<a href="/databases/main">main</a>' in past
    assert "Token rejected main incident" in words("<body>" + past)
    assert "6 checks failed." in words("<body>" + past)
    assert main.index("Past incidents") < main.index("Since the first check")
    assert re.search(r"90\.\d\d % up of 1 h 5 min known(?!;)", main)
