"""The languages: plural forms, what is filled in, finished sentences, durations, dates and large numbers."""

from __future__ import annotations

from datetime import timedelta
from string import Formatter
from time import process_time

import pytest

from monitor.lib.language import CODES, ENGLISH, Language, language

RUSSIAN = language("ru")
OTHERS = [language(code) for code in CODES if code != "en"]


def places(text: str) -> set[str]:
    """The names of a text's places."""
    return {name.rstrip("*,") for _, name, _, _ in Formatter().parse(text.replace("${{ … }}", "")) if name}


def test_english_stays_as_it_stands() -> None:
    """To the letter: filled in, counted, finished, with its durations and dates."""
    assert ENGLISH.say("recovered after {took}", took="{12} min") == "recovered after {12} min"
    assert ENGLISH.sentence("the channel slack is broken") == "the channel slack is broken"
    assert ENGLISH.duration(timedelta(minutes=12, seconds=4)) == "12 min 4 s"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "1 день"),
        (2, "2 дня"),
        (5, "5 дней"),
        (11, "11 дней"),
        (12, "12 дней"),
        (21, "21 день"),
        (22, "22 дня"),
        (25, "25 дней"),
        (101, "101 день"),
        (111, "111 дней"),
        (1004, "1004 дня"),
    ],
)
def test_russian_has_three_forms(number: int, words: str) -> None:
    """By the last digits, as the language has it; in finished sentences and in those that are filled in."""
    noun = "day" if number == 1 else "days"
    found = RUSSIAN.sentence(f"the certificate ends in {number} {noun} (2026-12-06)")
    assert found == f"сертификат истекает через {words} (06.12.2026)"
    checks = {"день": "проверка не прошла", "дня": "проверки не прошли", "дней": "проверок не прошли"}
    counted = RUSSIAN.say("{n} check failed" if number == 1 else "{n} checks failed", n=number)
    assert counted == f"{number} {checks[words.split()[1]]}"


def test_durations_dates_and_large_numbers_are_written_as_one_writes_them() -> None:
    """Two units, the day first, a space that does not break between thousands; the clock's time as it is."""
    assert RUSSIAN.duration(timedelta(minutes=12, seconds=4)) == "12 мин 4 с"
    assert RUSSIAN.duration(timedelta(days=3, hours=2)) == "3 д 2 ч"
    assert RUSSIAN.sentence("2026-11-23 14:02:09 UTC") == "23.11.2026 14:02:09 UTC"
    assert RUSSIAN.say("{n} checks failed", n=1200) == "1200 проверок не прошли"
    assert RUSSIAN.say("{n} checks failed", n="1,200") == "1\u00a0200 проверок не прошли"
    told = "96,000 of 100,000 commands used, 96%; at this pace it is used up on 2026-11-25"
    assert RUSSIAN.sentence(told) == (
        "израсходовано 96\u00a0000 из 100\u00a0000 команд, 96%; такими темпами кончится 25.11.2026"
    )


def test_what_is_not_ours_stays_as_it_is() -> None:
    """A server's own text, what is cut short, braces, names that are also words of ours; and it takes no time."""
    for text in (
        "WRONGPASS invalid or missing auth token",
        "the channel sla…",
        "{n} {what*}",
        "",
        "{",
        "0" * 5000,
    ):
        assert RUSSIAN.sentence(text) == text
    assert RUSSIAN.sentence("the channel slow is broken") == "канал slow не работает"
    assert RUSSIAN.sentence("the channel {name} is broken") == "канал {name} не работает"
    began = process_time()
    RUSSIAN.sentence(", found ; GET: ; set instead: . Next: " * 15)
    RUSSIAN.sentence("upstash-monitor: " * 30)
    assert process_time() - began < 5


@pytest.mark.parametrize("one", OTHERS, ids=lambda one: one.code)
def test_each_text_has_the_places_of_the_english_one(one: Language) -> None:
    """None is missing and none is made up, in none of the forms; each number has all its forms."""
    forms = {len(each) for each in one.known.values() if isinstance(each, list)}
    assert len(forms) == 1
    for english, other in one.known.items():
        assert "{n}" in english or isinstance(other, str), english
        for form in [other] if isinstance(other, str) else other:
            assert places(form) <= places(english), english
            assert places(english) - places(form) <= {"n"}, english
            assert form.strip(), english
            assert form[-1:] == english[-1:] or not english.endswith((".", ":", ",", " ")), english
