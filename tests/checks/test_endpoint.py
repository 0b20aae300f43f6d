"""What is told from a URL and a token that are never sent: the host, the worker's URL, hints, the first layer."""

from __future__ import annotations

import base64
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.checks.credentials import endpoint_of, hints, host_of, inspect_for_worker, legacy_port, worker_url
from monitor.checks.observation import Fact, Outcome
from monitor.diagnosis.verdicts import Layer, LayerState
from monitor.doctor.database import examine_configuration

HOST = "us1-merry-cat-30690.upstash.io"
URL = f"https://{HOST}"
TOKEN = "AXaB-standard_token"


def legacy_token(kind: int = 1, number: int = 30690, *, identity: bytes = b"id", secret: bytes = b"s" * 32) -> str:
    """A token of the older layout, as the documentation's samples decode."""
    head = bytes([kind, number >> 8, number & 255, 1, len(identity), len(secret)])
    return base64.urlsafe_b64encode(head + identity + secret).decode()


@pytest.mark.parametrize(
    "url",
    [
        URL,
        f"{URL}/",
        f"{URL}:443",
        f" {URL}\n",
        f'"{URL}"',
        f"'{URL}/get/key'",
        f"“{URL}”",
        f"\ufeff{URL}",
        f"http://{HOST}",
        URL.upper(),
        f"{URL}.",
        f"UPSTASH_REDIS_REST_URL={URL}",
        f'export UPSTASH_REDIS_REST_URL = "{URL}"',
        f"UPSTASH_REDIS_REST_URL={HOST}",
        f"{URL} # the new one",
        f'{URL}"\nUPSTASH_REDIS_REST_TOKEN="{TOKEN}"',
        f"rediss://default:{TOKEN}@{HOST}:6379",
        f"rediss://default:p@ss@{HOST}:6379",
        f"https://{HOST}?_token={TOKEN}",
        f"{HOST}",
        f"{HOST}:6379",
        f"  {HOST}/  ",
        f"redis-cli --tls -u redis://{HOST}:6379",
    ],
)
def test_the_host_is_told_from_a_malformed_url(url: str) -> None:
    """Whatever was pasted around it, the network on the way to the host can be looked at."""
    assert host_of(url) == HOST


@pytest.mark.parametrize(
    "url",
    [
        "",
        "  ",
        "https://",
        "https:///path",
        "https://${HOST}",
        "${{ shared.UPSTASH_URL }}",
        "not a url at all",
        "https://a..b",
        "https://-x.io",
        "https://" + "x" * 64 + ".io",
        TOKEN,
        "Bearer " + TOKEN,
        legacy_token(),
        "0123456789abcdef0123456789abcdef",
        "eyJhbGciOiJI.eyJzdWIi.SflKxwRJSMeKKF2QT4",
        "UPSTASH_REDIS_REST_TOKEN=" + legacy_token(),
        "rediss://default:" + legacy_token(),
    ],
)
def test_what_is_no_host_is_not_taken_for_one(url: str) -> None:
    """A token that stands in the URL's place must not be asked of a resolver."""
    assert host_of(url) is None


@pytest.mark.parametrize(
    ("url", "host", "port", "is_encrypted", "rest_url"),
    [
        (URL, HOST, 443, True, URL),
        (f"{URL}:8443", HOST, 8443, True, f"{URL}:8443"),
        (f"http://{HOST}", HOST, 443, True, URL),
        (f"http://{HOST}:80", HOST, 443, True, URL),
        (f"rediss://default:x@{HOST}:6379", HOST, 443, True, URL),
        (f"{HOST}:6379", HOST, 443, True, URL),
        ("http://localhost:8079", "localhost", 8079, False, "http://localhost:8079"),
        ("http://redis", "redis", 80, False, "http://redis"),
        ("https://[::1]:8443/", "::1", 8443, True, "https://[::1]:8443"),
        ("https://127.0.0.1:99999", "127.0.0.1", 443, True, "https://127.0.0.1"),
        ("https://127.0.0.1:0", "127.0.0.1", 443, True, "https://127.0.0.1"),
    ],
)
def test_the_endpoint_is_the_one_rest_would_have(
    url: str, host: str, port: int, is_encrypted: bool, rest_url: str
) -> None:
    """The lower layers look where REST is, not where a rediss:// URL or a plain http:// to Upstash would lead."""
    found = endpoint_of(url)
    assert found is not None
    assert (found.host, found.port, found.is_encrypted, found.url) == (host, port, is_encrypted, rest_url)


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_value_however_strange_is_an_error(url: str, token: str) -> None:
    """Whatever stands in the variables, lone surrogates and brackets too, something is told and nothing raised."""
    found = endpoint_of(url)
    assert found is None or (found.host and 0 < found.port < 65536)
    inspect_for_worker(url, token, 6379)
    assert examine_configuration(url, token).layer is Layer.CONFIGURATION


@pytest.mark.parametrize(
    ("url", "token", "built"),
    [
        (URL, TOKEN, f"rediss://default:{TOKEN}@{HOST}:6379"),
        (f"{URL}/", TOKEN, f"rediss://default:{TOKEN}@{HOST}/:6379"),
        (f"{URL}\n", TOKEN, f"rediss://default:{TOKEN}@{HOST}\n:6379"),
        (f'"{URL}"', f'"{TOKEN}"', f'rediss://default:"{TOKEN}"@"{URL}":6379'),
        (HOST, f"{TOKEN}\n", f"rediss://default:{TOKEN}\n@{HOST}:6379"),
        ("https://127.0.0.1:8443", TOKEN, f"rediss://default:{TOKEN}@127.0.0.1:6379"),
        ("http://[::1]:8079/", TOKEN, f"rediss://default:{TOKEN}@[::1]/:6379"),
        ("https://[::1]", TOKEN, f"rediss://default:{TOKEN}@[::1]:6379"),
    ],
)
def test_the_workers_url_is_put_together_from_the_values_as_they_stand(url: str, token: str, built: str) -> None:
    """A worker glues strings: what is wrong with a value is wrong in the URL too. Only REST's port is left out."""
    assert worker_url(url, token, 6379) == built


def test_another_user_may_be_put_into_the_workers_url() -> None:
    """For the user of the read-only token."""
    assert worker_url(URL, TOKEN, 30690, user="default_ro") == f"rediss://default_ro:{TOKEN}@{HOST}:30690"


@pytest.mark.parametrize(
    ("url", "token", "outcome"),
    [
        (URL, TOKEN, None),
        (f"{URL}/", TOKEN, None),
        (f"{URL}\n", f"{TOKEN}\r\n", None),
        (URL, f' "{TOKEN}" ', None),
        (URL, "p@ss:w%41rd==", None),
        ("", TOKEN, Outcome.URL_MISSING),
        (URL, " \n", Outcome.TOKEN_MISSING),
        (f'"{URL}"', TOKEN, Outcome.URL_MALFORMED),
        (f" {URL}", TOKEN, Outcome.URL_MALFORMED),
        (f"rediss://default:{TOKEN}@{HOST}:6379", TOKEN, Outcome.URL_MALFORMED),
        ("${{ shared.URL }}", TOKEN, Outcome.URL_MALFORMED),
        (URL, "ab/cd", Outcome.TOKEN_MALFORMED),
        (URL, "12/cd", Outcome.TOKEN_MALFORMED),
        (URL, "ab?ssl_cert_reqs=none", Outcome.TOKEN_MALFORMED),
        (URL, "ab#cd", Outcome.TOKEN_MALFORMED),
        (URL, "ab[cd", Outcome.TOKEN_MALFORMED),
        (URL, "ab\udcffcd", Outcome.TOKEN_MALFORMED),
        (URL, "ab℀cd", Outcome.TOKEN_MALFORMED),
    ],
)
def test_a_url_that_leads_a_worker_astray_is_told_beforehand(
    url: str, token: str, outcome: Outcome | None
) -> None:
    """A slash in the token makes `default` the host, without a word from most URL parsers."""
    result = inspect_for_worker(url, token, 6379)
    assert (result.outcome if result else None) is outcome
    assert result is None or TOKEN not in result.detail


@pytest.mark.parametrize(
    ("host", "port"),
    [
        (HOST, 30690),
        ("eu1-a-b-1024.upstash.io", 1024),
        ("eu1-a-b-1023.upstash.io", None),
        ("eu1-a-b-65535.upstash.io", 65535),
        ("eu1-a-b-65536.upstash.io", None),
        ("merry-cat.upstash.io", None),
        ("x.us1-30690.upstash.io", None),
        ("cache-30690", 30690),
        ("", None),
    ],
)
def test_the_port_of_older_databases_is_the_number_in_their_name(host: str, port: int | None) -> None:
    """Only the first label counts, and only a number that a server may listen on."""
    assert legacy_port(host) == port


ANOTHER, READ_ONLY = Fact.TOKEN_OF_ANOTHER_DATABASE, Fact.TOKEN_IS_READ_ONLY


@pytest.mark.parametrize(
    ("token", "facts"),
    [
        (legacy_token(), set()),
        (legacy_token().rstrip("="), set()),
        (legacy_token(kind=2), {READ_ONLY}),
        (legacy_token(number=30691), {ANOTHER}),
        (legacy_token(kind=2, number=1), {READ_ONLY, ANOTHER}),
        (legacy_token(kind=2) + "\n", {READ_ONLY, Fact.NEWLINE_AROUND_TOKEN}),
        (legacy_token(kind=3, number=1), set()),
        (legacy_token(kind=2, number=1)[:-4], set()),
        ("x" + legacy_token(kind=2, number=1), set()),
        ("AgEB", set()),
        ("0123456789abcdefABCDEF0123456789", {Fact.TOKEN_IS_A_PASSWORD}),
        ("0123456789abcdefABCDEF012345678", set()),
        ("0123456789abcdefABCDEF012345678g", set()),
        (TOKEN, set()),
        (f"\t{TOKEN}", {Fact.NEWLINE_AROUND_TOKEN}),
        (f"{TOKEN} \r\n ", {Fact.NEWLINE_AROUND_TOKEN}),
        (f" {TOKEN} ", set()),
        ("\n", set()),
        ("", set()),
    ],
)
def test_a_tokens_looks_are_a_hint(token: str, facts: set[Fact]) -> None:
    """The older layout holds a kind and the number in the host's name; a value of any other kind tells nothing."""
    assert hints(URL, token) == facts


@pytest.mark.parametrize("host", ["merry-cat.upstash.io", "merry-cat-70000.upstash.io", "no host"])
def test_without_a_number_to_compare_there_is_no_hint_of_another_database(host: str) -> None:
    """Two bytes hold no number above 65535, so a host with such a one is of a kind that nobody here has seen."""
    assert hints(f"https://{host}", legacy_token(number=1)) == frozenset()


def test_random_tokens_are_hardly_ever_taken_for_the_older_layout() -> None:
    """The lengths inside must add up, which in a thousand random values none does but by a rare accident."""
    random_tokens = (secrets.token_urlsafe(40) for _ in range(1000))
    assert sum(bool(hints(URL, token)) for token in random_tokens) <= 2


def test_good_values_pass_the_first_layer() -> None:
    """The layer says that both are there; a good layout adds nothing."""
    result = examine_configuration(URL, legacy_token())
    assert (result.layer, result.state, result.outcome) == (Layer.CONFIGURATION, LayerState.PASSED, None)
    assert result.detail == "URL and token are there and well-formed"


def test_a_hint_is_told_and_does_not_fail_the_layer() -> None:
    """The layout is not documented, so nothing may fail by it."""
    result = examine_configuration(URL, legacy_token(kind=2, number=7))
    assert result.state is LayerState.PASSED
    assert result.detail.endswith("the token looks like a read-only one; the token looks like another database's")
    assert result.facts == {READ_ONLY, ANOTHER}


@pytest.mark.parametrize(
    ("url", "token", "outcome", "says"),
    [
        ("", TOKEN, Outcome.URL_MISSING, "empty, or its variable is not set"),
        (URL, "", Outcome.TOKEN_MISSING, "empty, or its variable is not set"),
        (URL, f"{TOKEN}\n", Outcome.TOKEN_MALFORMED, "ends with a newline"),
        (f'"{URL}"', TOKEN, Outcome.URL_MALFORMED, "is wrapped in quotes"),
    ],
)
def test_a_mistake_fails_the_first_layer_and_is_named(url: str, token: str, outcome: Outcome, says: str) -> None:
    """Hidden characters are named, since nobody sees them."""
    result = examine_configuration(url, token)
    assert (result.state, result.outcome, result.detail) == (LayerState.FAILED, outcome, says)


@pytest.mark.parametrize("around", ["{}", "{}\n", '"{}"', "Bearer {}", "NAME={}", "{} {}"])
def test_no_part_of_a_token_is_ever_told(around: str) -> None:
    """Neither the value nor what stands inside it decoded: the id, the secret, the number."""
    secret = b"the-secret-of-the-database-itself"
    token = legacy_token(kind=2, number=4711, identity=b"the-id-of-it", secret=secret)
    for url in (URL, token, f"https://default:{token}@{HOST}"):
        said = repr(examine_configuration(url, around.replace("{}", token)))
        said += repr(inspect_for_worker(url, around.replace("{}", token), 6379))
        assert "4711" not in said
        assert "the-id" not in said
        assert "the-secret" not in said
        assert not any(token[start : start + 8] in said for start in range(len(token) - 8))
