"""Lines of a worker's log: which are about Redis, and what of them may be shown."""

from __future__ import annotations

import pytest

from monitor.doctor.platform import LINE_LIMIT, lines_about_redis
from monitor.lib.text import Scrubber, Secret, mask_credentials, one_line

TOKEN = "AXt0kenOfTheDatabase0123456789abcdef"


def lines(*messages: str) -> tuple[str, ...]:
    return lines_about_redis(messages, scrub=Scrubber((TOKEN,)))


@pytest.mark.parametrize(
    "message",
    [
        "ReplyError: WRONGPASS invalid username-password pair or user is disabled",
        "NOAUTH Authentication required",
        "Error: connect ECONNREFUSED 10.0.0.1:6379",
        "read ECONNRESET",
        "getaddrinfo ENOTFOUND merry-cat-12345.upstash.io",
        "redis.exceptions.ConnectionError: Error 110",
        "Upstash: fetch failed",
        "Command timed out",
        "request timeout after 5s",
        "ERR max requests limit exceeded",
        "ERR DB capacity quota exceeded",
    ],
)
def test_a_line_about_redis_is_shown(message: str) -> None:
    """Whichever client wrote it."""
    assert lines("listening on port 8080", message, "GET /health 200") == (message,)


@pytest.mark.parametrize(
    "message", ["listening on port 8080", "economics of scale", "", "rediscovered", "work was redistributed"]
)
def test_a_line_that_does_not_is_left_out(message: str) -> None:
    """The log is the worker's; we read over its shoulder for one thing only."""
    assert lines(message) == ()


def test_the_last_few_different_lines_are_shown_oldest_first() -> None:
    """A retry with another number is the same line; its last one is shown."""
    retries = [f"redis: retry {number} in {number * 2} s" for number in range(50)]
    assert lines("redis: connected", "redis: WRONGPASS", "redis: lost", *retries) == (
        "redis: WRONGPASS",
        "redis: lost",
        "redis: retry 49 in 98 s",
    )


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (f"redis token {TOKEN} rejected", "redis token *** rejected"),
        ("redis rediss://default:s3cret@h:6379 failed", "redis rediss://***@h:6379 failed"),
        ("redis REDIS_PASSWORD=hunter2", "redis REDIS_PASSWORD=***"),
        ('redis {"api_key": "abc"}', 'redis {"api_key": "***"}'),
        ("redis Authorization: Bearer abc123", "redis Authorization: ***"),
        ("redis sent Bearer abc12345", "redis sent Bearer ***"),
        ("redis AXunknownToEverybody123456789/+=", "redis ***"),
        (
            "redis https://us1-merry-caterpillar-12345.upstash.io/",
            "redis https://us1-merry-caterpillar-12345.upstash.io/",
        ),
        ("\x1b[31mredis\x1b[0m\n\tdown\u202e!", "redis down !"),
    ],
)
def test_no_credential_is_shown_known_or_unknown(message: str, shown: str) -> None:
    """The worker may log tokens that this process has never seen."""
    assert lines(message) == (shown,)


def test_a_long_line_is_cut_after_it_is_scrubbed() -> None:
    """Cut before, half a token would stand at its end and be found by nobody."""
    line = lines("redis " + "x" * (LINE_LIMIT - 20) + f" {TOKEN} and more")[0]
    assert len(line) <= LINE_LIMIT
    assert TOKEN[:4] not in line
    assert lines("redis " + "y" * 100_000)[0].endswith("…")


def test_ordinary_words_are_not_masked() -> None:
    """What is masked too much tells nothing."""
    for text in ("WRONGPASS invalid or missing auth token", "basic authentication failed", "at app.js:1234:56"):
        assert mask_credentials(text) == text


def test_one_line_is_printable_and_cut() -> None:
    """Control characters, line breaks and marks that turn the text around are gone."""
    assert one_line("a\x00b\r\nc\u2028d\u202e", 20) == "a b c d"
    assert one_line("x" * 30, 10) == "x" * 9 + "…"


def test_a_secret_does_not_print_itself() -> None:
    """Neither in a repr nor in a format, nor inside another object's repr."""
    secret = Secret(TOKEN)
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{[secret]}", "%s" % secret):  # noqa: UP031 - the old way prints too
        assert TOKEN[:6] not in text
    assert secret.is_same_as(TOKEN)
    assert secret == Secret(TOKEN)
    assert secret != TOKEN
    assert not secret.is_same_as(TOKEN + "é")
    assert not Secret("")
