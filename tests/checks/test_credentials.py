"""What can be known of a URL and a token without sending them: each mistake by name, and never the value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.checks.credentials import endpoint_of, inspect, look_alikes
from monitor.checks.observation import Fact, Outcome

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
    ("$(UPSTASH)", "holds a reference that was not resolved"),
    ("#{{UPSTASH}}#", "holds a reference that was not resolved"),
    ("process.env.UPSTASH", "holds a reference that was not resolved"),
    ("{}\\n", "ends with \\n written out"),
    ('"{}\\n"', "ends with \\n written out"),
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
        ("rediss://default:AXsecretpass@glad-cat-12345.upstash.io:6379", "begins with rediss://"),
        ("redis://glad-cat-12345.upstash.io", "begins with redis://"),
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
        ("https://glad-cat-12345.upstash.io:x", "cannot be read as one"),
        ("https://glad-cat-12345.upstash.io:70000", "cannot be read as one"),
        ("https://glad-cat-12345.upstash.io:", "has no valid port"),
        ("https://glad-cat-12345.upstash.io:0", "has no valid port"),
        ("https://[::1", "cannot be read as one"),
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
        ("AXyz==,", "ends with `,`, which does not belong to it"),
        ("AXyz=;", "ends with `;`, which does not belong to it"),
        ("TOKEN=AXyz==,", "is an assignment NAME=value"),
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


PLACEHOLDERS = [
    *(
        "undefined",
        "null",
        "None",
        "NaN",
        "nil",
        "[object Object]",
        "<token>",
        "<your token>",
        "{token}",
        "%TOKEN%",
    ),
    *(
        "your-token-here",
        "YOUR_TOKEN_HERE",
        "your_upstash_token",
        "yourtoken",
        "YOUR-TOKEN-123",
        "insert_token_here",
    ),
    *(
        "changeme",
        "change-me",
        "CHANGE_ME",
        "replace_me",
        "TODO",
        "tbd",
        "FIXME",
        "placeholder",
        "example",
        "sample",
    ),
    *("xxx", "XXXXXXXX", "xxxx-xxxx-xxxx", "AXxxxxxxxxxx==", "---", "???", '"undefined"', " null "),
    *("n/a", "REDACTED", "unset", "undefinedundefined"),
    *("token goes here", "paste your token here", "__TOKEN__"),
]


@pytest.mark.parametrize("host", ["glad-cat-12345.upstash.io", "redis.example.internal"])
@pytest.mark.parametrize("token", PLACEHOLDERS)
def test_a_placeholder_is_no_token(host: str, token: str) -> None:
    """What templates hold, and what programs write where they have nothing; nothing is sent."""
    found = inspect(f"https://{host}", token)
    assert found is not None
    assert (found.outcome, found.detail) == (Outcome.TOKEN_MALFORMED, "is a placeholder")
    assert set(found.facts) == {Fact.PLACEHOLDER}


@pytest.mark.parametrize("token", ["UPSTASH_REDIS_REST_TOKEN", "my-token", "example_token", "rest token"])
def test_a_word_may_be_the_token_of_a_server_of_ones_own_and_not_upstashs(token: str) -> None:
    """serverless-redis-http takes whatever it was started with; its manual says `example_token`."""
    found = inspect(URL, token)
    assert found is not None
    assert set(found.facts) == {Fact.PLACEHOLDER}
    if " " not in token:
        assert inspect("http://serverless-redis-http", token) is None


@pytest.mark.parametrize(
    "url",
    [
        *("undefined", "null", "YOUR_URL_HERE", "UPSTASH_REDIS_REST_URL", "<url>", "TODO", "your-db.upstash.io"),
        *("https://undefined", "https://null/", "https://your-database.upstash.io", "https://<host>.upstash.io"),
        *("https://example.upstash.io", "https://xxx.upstash.io", "https://xxxxx-xxxxx-12345.upstash.io"),
        *("https://undefined.upstash.io", "https://your-redis.example.com", "https://YOUR_ENDPOINT.upstash.io"),
    ],
)
def test_a_placeholder_is_no_url(url: str) -> None:
    """In the URL's place, or in that of its host."""
    found = inspect(url, TOKEN)
    assert found is not None
    assert (found.outcome, found.detail) == (Outcome.URL_MALFORMED, "is a placeholder")
    assert set(found.facts) == {Fact.PLACEHOLDER}


@pytest.mark.parametrize(
    "url",
    [
        *("https://redis.example.internal", "https://example.com", "http://placeholder.test", "http://redis:80"),
        *(
            "https://yourcompany.com",
            "http://null-island.example",
            "https://nan.example.com:8443",
            "http://todo:8079",
        ),
        *("https://my-redis.example.com", "http://127.0.0.1:18101", "https://fly-glad-cat-1234.upstash.io"),
    ],
)
def test_a_host_of_ones_own_may_have_any_name(url: str) -> None:
    """A false alarm here would keep a check from being made at all."""
    assert inspect(url, TOKEN) is None


MASKED = [
    *(
        "***",
        "*",
        "********************",
        "••••••••",
        "●●●●",
        "AX**********==",
        "AXab…yz==",
        "AXab...yz==",
        "AX••••",
    ),
]


@pytest.mark.parametrize("token", MASKED)
def test_what_a_field_shows_in_place_of_a_token_is_no_token(token: str) -> None:
    """Asterisks, bullets and what is left out, in the whole value or in a part of it."""
    for url in (URL, "http://serverless_redis:80"):
        found = inspect(url, token)
        assert found is not None
        assert (found.outcome, found.detail) == (Outcome.TOKEN_MALFORMED, "was copied from where it is hidden")
        assert set(found.facts) == {Fact.MASKED}


@pytest.mark.parametrize("url", ["https://****.upstash.io", "********", "https://glad-•••.upstash.io"])
def test_what_a_field_shows_in_place_of_a_url_is_no_url(url: str) -> None:
    """As for a token."""
    found = inspect(url, TOKEN)
    assert found is not None
    assert (found.outcome, set(found.facts)) == (Outcome.URL_MALFORMED, {Fact.MASKED})


@pytest.mark.parametrize("port", [6379, 12345])
@pytest.mark.parametrize("host", ["glad-cat-12345.upstash.io", "GLAD-CAT-12345.upstash.io"])
def test_the_port_of_redis_is_none_of_rest(host: str, port: int) -> None:
    """6379, or the one in the name of an older database. What is behind 443 is examined all the same."""
    found = inspect(f"https://{host}:{port}", TOKEN)
    assert found is not None
    assert (found.outcome, set(found.facts)) == (Outcome.URL_MALFORMED, {Fact.REDIS_PORT_IN_URL})
    assert f"port {port}" in found.detail
    endpoint = endpoint_of(f"https://{host}:{port}")
    assert endpoint is not None
    assert endpoint.port == 443


@pytest.mark.parametrize("url", ["https://redis.example.internal:6379", "http://127.0.0.1:6379", f"{URL}:8443"])
def test_another_host_may_have_rest_on_any_port(url: str) -> None:
    """Nobody knows what listens there."""
    assert inspect(url, TOKEN) is None


@pytest.mark.parametrize("url", [URL, "rediss://default:AXpass@glad-cat-12345.upstash.io:6379", f'"{URL}"'])
@pytest.mark.parametrize("token", [TOKEN, "hunter2", f"{TOKEN}\n"])
def test_url_and_token_that_were_swapped_are_found(url: str, token: str) -> None:
    """Each in the other's place; what else is wrong with them is of no interest then."""
    found = inspect(token, url)
    assert found is not None
    assert (found.outcome, set(found.facts)) == (Outcome.URL_MALFORMED, {Fact.SWAPPED})
    assert token.strip() not in found.detail


def test_one_in_the_others_place_is_named() -> None:
    """The same value twice, mostly: no swap, so the other one is missing."""
    twice, other = inspect(TOKEN, TOKEN), inspect(URL, URL)
    assert twice is not None
    assert other is not None
    assert (twice.outcome, other.outcome) == (Outcome.URL_MALFORMED, Outcome.TOKEN_MALFORMED)
    assert (twice.facts, other.facts, other.detail) == (frozenset(), frozenset(), "is a URL")


ENVIRONMENT = {
    "REDIS_URL": "redis://h",
    "UPSTASH_REDIS_URL": "rediss://h",
    "KV_URL": "rediss://h",
    "KV_REST_API_URL": "https://h",
    "STORAGE_REST_URL": "https://h",
    "CACHE_REDIS_URL": "redis://h",
    "REDIS_TLS_URL": "rediss://h",
    "KV_REST_API_TOKEN": "AXt",
    "KV_REST_API_READ_ONLY_TOKEN": "AXt",
    "UPSTASH_REDIS_REST_URL": "  ",
    "DATABASE_URL": "postgres://h",
    "GITHUB_TOKEN": "x",
    "REDIS_URL_OLD": "redis://h",
}


def test_look_alikes_are_told_where_a_value_is_missing() -> None:
    """By their names, which are in the platform's window too; their values stay where they are."""
    names = look_alikes(ENVIRONMENT)
    assert set(ENVIRONMENT) - set(names) == {
        "UPSTASH_REDIS_REST_URL",
        "DATABASE_URL",
        "GITHUB_TOKEN",
        "REDIS_URL_OLD",
    }
    no_url, no_token = inspect("", TOKEN, names), inspect(URL, "", names)
    assert no_url is not None
    assert no_token is not None
    assert no_url.detail == (
        "empty, or its variable is not set; set instead: "
        "CACHE_REDIS_URL, KV_REST_API_URL, KV_URL, REDIS_TLS_URL and 3 more"
    )
    assert no_token.detail.endswith("set instead: KV_REST_API_READ_ONLY_TOKEN, KV_REST_API_TOKEN")
    assert inspect(URL, TOKEN, names) is None


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_text_breaks_the_inspection_or_is_read_out(url: str, token: str) -> None:
    """Any two texts get an answer, in one printable line that does not hold them."""
    found = inspect(url, token)
    if found is not None:
        assert found.detail.isprintable()
        assert not [value for value in (url.strip(), token.strip()) if len(value) > 12 and value in found.detail]
