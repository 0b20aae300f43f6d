"""What can be known of a URL and a token without sending them: each mistake by name, and never the value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.checks.credentials import inspect
from monitor.checks.observation import Outcome

URL = "https://glad-cat-12345.upstash.io"
TOKEN = "AXyzTokenOfTheTest_123=="


@pytest.mark.parametrize(
    "url",
    [
        URL,
        f"{URL}/",
        f"{URL}:443",
        "HTTPS://glad-cat-12345.upstash.io",
        "https://us1-glad-cat-12345.upstash.io",
        "https://redis.internal.example:8443",
        "http://localhost:8079",
        "http://127.0.0.1:8079",
        "http://[::1]:8079",
        "http://serverless_redis:80",
    ],
)
def test_a_rest_url_is_fit_to_be_sent(url: str) -> None:
    """https for Upstash, http as well for hosts of one's own."""
    assert inspect(url, TOKEN) is None


@pytest.mark.parametrize("token", [TOKEN, "AX-_~.+/=", "0" * 500, "a", "32f3a9c1d0e84b7f9a6b5c4d3e2f1a0b"])
def test_a_token_of_printable_characters_is_fit_to_be_sent(token: str) -> None:
    """Its layout is Upstash's business and may change."""
    assert inspect(URL, token) is None


@pytest.mark.parametrize("nothing", ["", " ", "\n", "\t \r\n", "\u00a0"])
def test_nothing_is_missing_and_not_malformed(nothing: str) -> None:
    """Empty, unset and whitespace only are told apart from a value that is wrong."""
    missing_url, missing_token = inspect(nothing, TOKEN), inspect(URL, nothing)
    assert missing_url is not None
    assert missing_token is not None
    assert (missing_url.outcome, missing_token.outcome) == (Outcome.URL_MISSING, Outcome.TOKEN_MISSING)


SHARED = [
    ("{}\n", "ends with a newline"),
    ("{}\r\n", "ends with a newline"),
    ("{} ", "ends with a space"),
    ("{}\u00a0", "ends with a no-break space"),
    (" {}", "begins with a space"),
    ("\t{}", "begins with a tab"),
    ("\ufeff{}", "holds a byte order mark at position 1"),
    ("{}\u200b", "holds a zero-width space at position"),
    ('"{}"', "is wrapped in quotes"),
    ("'{}'", "is wrapped in quotes"),
    ("“{}”", "is wrapped in quotes"),
    ("`{}`", "is wrapped in quotes"),
    ('"{}', "has a quote at one end"),
    ("{}'", "has a quote at one end"),
    ("${{{{Redis.VALUE}}}}", "holds a reference that was not resolved"),
    ("${{UPSTASH}}", "holds a reference that was not resolved"),
    ("$UPSTASH", "holds a reference that was not resolved"),
    ("{}\u00e9", "holds a character outside printable ASCII"),
    ("{}\x00", "holds a character outside printable ASCII"),
]


@pytest.mark.parametrize(("shape", "words"), SHARED)
def test_what_spoils_both_is_named(shape: str, words: str) -> None:
    """The paste artefacts by name; the value is not repaired, and no part of it is shown."""
    url, token = inspect(shape.format(URL), TOKEN), inspect(URL, shape.format(TOKEN))
    assert url is not None
    assert token is not None
    assert (url.outcome, token.outcome) == (Outcome.URL_MALFORMED, Outcome.TOKEN_MALFORMED)
    assert words in url.detail
    assert words in token.detail
    assert "glad-cat" not in url.detail
    assert "TokenOf" not in token.detail


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("rediss://default:AXsecretpass@glad-cat-12345.upstash.io:6379", "is a rediss:// URL"),
        ("redis://glad-cat-12345.upstash.io", "is a redis:// URL"),
        ("glad-cat-12345.upstash.io", "does not begin with https://"),
        ("//glad-cat-12345.upstash.io", "does not begin with https://"),
        ("ftp://glad-cat-12345.upstash.io", "does not begin with https://"),
        ("https://", "does not begin with https://"),
        ("https:glad-cat-12345.upstash.io", "does not begin with https://"),
        (f"UPSTASH_REDIS_REST_URL={URL}", "is an assignment NAME=value"),
        (f"export URL={URL}", "is an assignment NAME=value"),
        ("https://glad cat.upstash.io", "holds a space"),
        (f"{URL}/set/a/b", "has a path"),
        (f"{URL}?_token=AXsecretpass", "has a query"),
        (f"{URL}?", "has a query"),
        (f"{URL}#x", "has a query"),
        ("https://default:AXsecretpass@glad-cat-12345.upstash.io", "holds a user name or password"),
        ("http://glad-cat-12345.upstash.io", "begins with http://"),
        ("http://GLAD-CAT-12345.UPSTASH.IO", "begins with http://"),
        ("http://glad-cat-12345.upstash.io.", "begins with http://"),
        ("https://glad-cat-12345.upstash.io:x", "is not a URL"),
        ("https://glad-cat-12345.upstash.io:70000", "is not a URL"),
        ("https://glad-cat-12345.upstash.io:", "has no valid port"),
        ("https://glad-cat-12345.upstash.io:0", "has no valid port"),
        ("https://[::1", "is not a URL"),
        ("https://-cat.upstash.io", "has no valid host"),
        ("https://cat..upstash.io", "has no valid host"),
    ],
)
def test_what_is_wrong_with_a_url_is_named(url: str, words: str) -> None:
    """One sentence that says what to change; a password in it is not shown."""
    found = inspect(url, TOKEN)
    assert found is not None
    assert found.outcome is Outcome.URL_MALFORMED
    assert words in found.detail
    assert "AXsecretpass" not in found.detail


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (f"Bearer {TOKEN}", "begins with `Bearer `"),
        (f"bearer {TOKEN}", "begins with `Bearer `"),
        (f"UPSTASH_REDIS_REST_TOKEN={TOKEN}", "is an assignment NAME=value"),
        (f"export TOKEN={TOKEN}", "is an assignment NAME=value"),
        ("AXyz Token", "holds a space"),
        ('AXyz"Token', "holds a quote"),
        ("AXyz\nToken", "holds a newline at position 5"),
    ],
)
def test_what_is_wrong_with_a_token_is_named(token: str, words: str) -> None:
    """As for a URL."""
    found = inspect(URL, token)
    assert found is not None
    assert found.outcome is Outcome.TOKEN_MALFORMED
    assert words in found.detail
    assert "AXyz" not in found.detail


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_text_breaks_the_inspection_or_is_read_out(url: str, token: str) -> None:
    """Any two texts get an answer, in one printable line that does not hold them."""
    found = inspect(url, token)
    if found is not None:
        assert found.detail.isprintable()
        assert not [value for value in (url.strip(), token.strip()) if len(value) > 12 and value in found.detail]
