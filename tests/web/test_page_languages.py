"""The page in each language: wholly in it, with the language's code, and otherwise the same."""

from __future__ import annotations

import asyncio
import re
from html import unescape

import pytest

from monitor.alerts.holds import Silence
from monitor.lib.language import CODES, ENGLISH, Language, language
from monitor.report.formatting import Redactor
from monitor.report.quiet import quiet_spans
from monitor.web.pages.pages import Pages
from monitor.web.pages.summary import DatabasePage, PageSpan
from tests.alerts.test_languages import english
from tests.web.made import DATABASES, DAY, NOW, MadeOverview

OTHERS = [language(code) for code in CODES if code != "en"]
# What is named in the made databases, and what a server said.
NAMES = re.compile(
    "|".join(
        [
            *(made.name for made in DATABASES),
            "p50",
            "p90",
            "p99",
            "p95",
            "JSON",
            r"rediss://",
            r"/\S+",
            "WRONGPASS [a-z ]+",
        ]
    )
)


def drawn(one: Language) -> dict[str, str]:
    """The front page, the page of one database over a day, of another over a week, and a refusal."""
    pages = Pages(Redactor(), title="upstash-monitor", can_acknowledge=True, language=one)
    overview = MadeOverview(DATABASES[:3])
    silence = Silence(id=3, databases=("main",), start=NOW - DAY, end=NOW + DAY)

    async def draw() -> dict[str, str]:
        past = await overview.past_incidents()
        quiet = quiet_spans([silence], (), NOW)
        troubles = (
            "channel slack is broken since 2026-11-23 14:02:09 UTC: Slack refused it (404 x): set chat_id",
        )
        found = {"front": pages.front(await overview.statuses(), NOW, troubles, past, quiet)}
        for made, span in zip(DATABASES, (PageSpan.DAY, PageSpan.WEEK), strict=False):
            status, start = await overview.status(made.name), NOW - span.length
            history = await overview.history(made.name, start=start, end=NOW, grain=span.grain, compare=True)
            found[made.name] = pages.database(DatabasePage(status=status, history=history, span=span), NOW)
        found["refusal"] = pages.refusal(
            404, "Nothing is here", "wanted to read the history in time, found it busy. Next: try again"
        )
        return found

    return asyncio.run(draw())


def read(page: str) -> str:
    """What is seen and read out: the text, names for screen readers, and the labels of charts."""
    named = re.findall(r'(?:aria-label|data-name|data-labels|data-words|data-keys|title)="([^"]*)"', page)
    plain = re.sub(r"<(title|script|code|q)\b.*?</\1>", " ", page[page.index("<body") :], flags=re.DOTALL)
    return unescape(" ".join([re.sub(r"<[^>]*>", " ", plain), *named]))


@pytest.mark.parametrize("one", OTHERS, ids=lambda one: one.code)
def test_the_page_is_wholly_in_its_language(one: Language) -> None:
    """No English word is left but names, commands and what a server said; the same elements as in English."""
    in_english = drawn(ENGLISH)
    for name, page in drawn(one).items():
        assert f'<html lang="{one.code}">' in page
        assert english(NAMES.sub(" ", read(page))) == [], name
        elements = re.findall(r"<[a-z0-9]+", page)
        assert elements == re.findall(r"<[a-z0-9]+", in_english[name]), name
