"""Guessing the page's password: slowed down by address and in all, one line in the log, nobody else locked out."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

import pytest

from monitor.web.guard import Guard, Guesses, network_behind_proxy
from tests.program import LONGEST_WAIT_SECONDS
from tests.web.conftest import build, serving
from tests.web.made import DATABASES, NOW, MadeOverview

PASSWORD = "the right one"
GUESSER, PERSON = "127.0.0.1", "127.0.0.9"


def tried(guesses: Guesses, network: str, *, start: float, seconds: float, per_second: int = 100) -> int:
    """How many wrong passwords are looked at of those that come from there, so many a second."""
    looked_at = 0
    for number in range(int(seconds * per_second)):
        now = start + number / per_second
        if guesses.wait(network, now) == 0:
            guesses.wrong(network, now)
            looked_at += 1
    return looked_at


def test_one_address_has_fifty_guesses_and_then_one_in_six_seconds() -> None:
    """And fifty again after it has been quiet for five minutes."""
    guesses = Guesses()
    assert tried(guesses, "192.0.2.1", start=1000, seconds=1) == 50
    assert tried(guesses, "192.0.2.1", start=1001, seconds=600) in (99, 100)
    assert tried(guesses, "192.0.2.1", start=1601 + 300, seconds=1) == 50


def test_a_thousand_addresses_share_a_pace() -> None:
    """Known and new ones each have two hundred at once, and then five a second. Memory is bounded."""
    guesses = Guesses()
    looked_at = 0
    for number in range(60_000):
        network, now = f"10.{number % 3000}", 1000 + number / 1000
        if guesses.wait(network, now) == 0:
            guesses.wrong(network, now)
            looked_at += 1
    assert looked_at < 2 * (200 + 5 * 60) + 10
    for number in range(5000):
        guesses.wrong(str(number), 2000.0 + number)
    assert len(guesses._networks) <= 1024


def test_another_address_is_not_held_up() -> None:
    """Whoever has not guessed wrong is looked at while hundreds of others guess."""
    guesses = Guesses()
    for number in range(150):
        tried(guesses, f"192.0.2.{number}", start=1000, seconds=1, per_second=60)
    assert guesses.wait("192.0.2.0", 1001.0) > 0
    assert guesses.wait("198.51.100.7", 1001.0) == 0


@pytest.fixture
def port() -> Iterator[int]:
    """A page behind the password, for which no time passes: one more guess would be free after six seconds."""
    app = build(MadeOverview(DATABASES[-1:], now=NOW), password=PASSWORD)
    assert isinstance(app, Guard)
    app._clock = lambda: 1000.0
    with serving(app) as port:
        yield port


def status(port: int, password: str | None, *, path: str = "/", source: str = GUESSER, **headers: str) -> int:
    if password is not None:
        headers["Authorization"] = "Basic " + b64encode(f"me:{password}".encode()).decode()
    connection = HTTPConnection("127.0.0.1", port, timeout=LONGEST_WAIT_SECONDS, source_address=(source, 0))
    with closing(connection):
        connection.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        return connection.getresponse().status


def test_a_guesser_is_slowed_down_and_nobody_else(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """Right or wrong, its passwords are not looked at for a while; one line tells its address and how many."""
    with caplog.at_level(logging.WARNING):
        answers = [status(port, f"guess {number}") for number in range(60)]
    assert answers == [401] * 50 + [429] * 10
    assert status(port, PASSWORD) == 429
    assert status(port, PASSWORD, source=PERSON) == 200
    assert status(port, None) == 401
    assert status(port, "a guess", path="/healthz") == 200
    assert [record.getMessage() for record in caplog.records] == [
        "somebody guesses the page's password: 51 tries from 127.0.0.1; they are slowed down"
    ]


def test_without_a_password_in_the_request_nothing_is_counted(port: int) -> None:
    """A browser asks without one first, for each file."""
    assert {status(port, None) for _ in range(60)} == {401}
    assert status(port, PASSWORD) == 200


def test_behind_a_proxy_its_own_entry_counts(port: int) -> None:
    """What a visitor writes in front of it changes nothing."""
    answers = {status(port, "no", X_Forwarded_For=f"192.0.2.{number}, 203.0.113.9") for number in range(60)}
    assert answers == {401, 429}
    assert status(port, PASSWORD, X_Forwarded_For="203.0.113.9") == 429
    assert status(port, PASSWORD, X_Forwarded_For="198.51.100.7") == 200


@pytest.mark.parametrize(
    ("peer", "forwarded", "network"),
    [
        ("100.64.0.3", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "192.0.2.1, 198.51.100.7:4711", "198.51.100.7"),
        ("fd12::1", "[2001:db8::1]:4711", "2001:db8::/64"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "<script>", "10.0.0.1"),
        ("8.8.8.8", "198.51.100.7", "8.8.8.8"),
        ("", "", ""),
    ],
)
def test_only_a_proxy_of_ours_is_believed(peer: str, forwarded: str, network: str) -> None:
    """Whoever comes straight from the internet could write any address."""
    assert network_behind_proxy(peer, forwarded) == network
