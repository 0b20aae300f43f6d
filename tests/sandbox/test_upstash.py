"""The stand-in for Upstash, held against what its REST API documents, by hand and through the real client."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any

import pytest
from upstash_redis import Redis
from upstash_redis.asyncio import Redis as AsyncRedis
from upstash_redis.errors import UpstashError

from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from tests.checks.faulty_server import Certificates
from tests.program import LONGEST_WAIT_SECONDS as LONG

TOKEN = "standard_token"
READ_ONLY = "read_only_token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def database() -> Iterator[UpstashStandIn]:
    with UpstashStandIn(TOKEN, read_only_token=READ_ONLY) as stand_in:
        yield stand_in


@pytest.fixture
def client(database: UpstashStandIn) -> Iterator[Redis]:
    with Redis(database.url, TOKEN, rest_retries=0, allow_telemetry=False) as redis:
        yield redis


def ask(
    database: UpstashStandIn,
    method: str,
    path: str,
    body: str = "",
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(database.address, timeout=LONG)
    try:
        connection.request(method, path, body=body or None, headers=BEARER if headers is None else headers)
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def said(database: UpstashStandIn, *words: object) -> tuple[int, Any]:
    """One command in the body, as both clients of Upstash send it."""
    status, body, _ = ask(database, "POST", "/", json.dumps(words))
    return status, json.loads(body)


def test_the_client_reads_and_writes(client: Redis) -> None:
    """The ordinary calls of an application give what Upstash gives."""
    assert client.ping() == "PONG"
    assert client.ping("a nonce") == "a nonce"
    assert client.set("greeting", "grüß dich", ex=100)
    assert client.get("greeting") == "grüß dich"
    assert client.set("count", 1)
    assert client.get("count") == "1"
    assert client.dbsize() == 2
    assert client.delete("greeting", "missing") == 1
    assert client.get("greeting") is None


def test_the_client_in_an_event_loop_reads_and_writes(database: UpstashStandIn) -> None:
    """The asynchronous client is the one that checks; it gets the same."""

    async def use() -> None:
        async with AsyncRedis(database.url, TOKEN, rest_retries=0, allow_telemetry=False) as redis:
            assert await redis.ping("a nonce") == "a nonce"
            assert await redis.set("key", "value")
            assert await redis.get("key") == "value"
            assert await redis.delete("key") == 1
            with pytest.raises(UpstashError, match=r"^ERR wrong number of arguments for 'get' command$"):
                await redis.execute(["GET"])

    asyncio.run(use())


def test_a_key_expires(client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time a key is gone from every command."""
    client.set("brief", "here", ex=60)
    client.set("lasting", "here")
    assert client.dbsize() == 2
    monkeypatch.setattr("monitor.sandbox.upstash.monotonic", lambda: monotonic() + 61)
    assert client.get("brief") is None
    assert client.dbsize() == 1
    assert client.delete("brief") == 0


@pytest.mark.parametrize(
    "authorization", ["", "Bearer ", "Bearer wrong", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x"]
)
def test_a_wrong_token_is_a_401_with_the_text_of_upstash(database: UpstashStandIn, authorization: str) -> None:
    """Missing and wrong tokens look the same, and no command is run."""
    headers = {"Authorization": authorization} if authorization else {}
    status, body, _ = ask(database, "POST", "/", '["SET", "key", "value"]', headers)
    assert status == 401
    assert json.loads(body) == {"error": "WRONGPASS invalid or missing auth token"}
    assert database.billed_commands == 0


def test_a_client_hears_of_a_rotated_token(database: UpstashStandIn, client: Redis) -> None:
    """From one moment to the next, without a word before."""
    assert client.ping() == "PONG"
    database.token = "another_token"
    with pytest.raises(UpstashError, match=r"^WRONGPASS invalid or missing auth token$"):
        client.ping()


def test_every_string_but_ok_is_encoded_on_demand(database: UpstashStandIn) -> None:
    """base64 for strings; numbers, null and the literal OK as they are."""
    headers = {**BEARER, "Upstash-Encoding": "base64"}
    results = []
    for words in (["SET", "key", "wörd"], ["GET", "key"], ["GET", "none"], ["PING"], ["DEL", "key"]):
        status, body, answered = ask(database, "POST", "/", json.dumps(words), headers)
        assert (status, answered["Content-Type"]) == (200, "application/json")
        results.append(json.loads(body)["result"])
    assert results == ["OK", b64encode("wörd".encode()).decode(), None, b64encode(b"PONG").decode(), 1]


@pytest.mark.parametrize(
    ("body", "beginning"),
    [
        ("", "ERR failed to parse"),
        ("{", "ERR failed to parse"),
        ("[" * 5000, "ERR failed to parse"),
        ('"PING"', "ERR wanted a command"),
        ("[]", "ERR wanted a command"),
        ('[["PING"]]', "ERR wanted a command"),
        ('["NOSUCH"]', "ERR Command is not available: 'NOSUCH'"),
        ('["GET"]', "ERR wrong number of arguments for 'get' command"),
        ('["SET", "key", "value", "EX"]', "ERR syntax error"),
        ('["SET", "key", "value", "EX", "soon"]', "ERR syntax error"),
        ('["SET", "key", "value", "EX", 0]', "ERR syntax error"),
        ('["AUTH", "x"]', "ERR Command is not available: 'AUTH'"),
        ('["SELECT", 1]', "ERR Command is not available: 'SELECT'"),
    ],
)
def test_what_cannot_be_run_is_a_400_with_an_error(database: UpstashStandIn, body: str, beginning: str) -> None:
    """A JSON object with `error`, whatever was sent; the stand-in stays up."""
    status, answer, _ = ask(database, "POST", "/", body)
    assert status == 400
    assert json.loads(answer)["error"].startswith(beginning)
    assert said(database, "PING") == (200, {"result": "PONG"})


@pytest.mark.parametrize("words", [("SET", "k", "v"), ("DEL", "k")])
def test_a_read_only_token_reads_and_no_more(database: UpstashStandIn, words: tuple[object, ...]) -> None:
    """Writes are refused as for any user without the right."""
    with Redis(database.url, READ_ONLY, rest_retries=0, allow_telemetry=False) as redis:
        assert redis.ping() == "PONG"
        assert redis.get("k") is None
        name = str(words[0]).lower()
        with pytest.raises(
            UpstashError, match=f"^NOPERM this user has no permissions to run the '{name}' command$"
        ):
            redis.execute(list(words))


@pytest.mark.parametrize(
    ("fault", "beginning", "refused", "run"),
    [
        (UpstashFault.QUOTA, "ERR max requests limit exceeded. Limit: 500000", ("PING", "GET k", "SET k v"), ()),
        (UpstashFault.QUOTA_BUT_PING, "ERR max requests limit exceeded", ("GET k", "SET k v"), ("PING",)),
        (UpstashFault.DAILY_QUOTA, "ERR max daily request limit exceeded. Limit: 10000", ("PING", "GET k"), ()),
        (UpstashFault.SUSPENDED, "ERR This database has been suspended", ("PING", "GET k"), ()),
        (
            UpstashFault.CAPACITY,
            "ERR DB capacity quota exceeded.",
            ("SET k v",),
            ("PING", "GET k", "DEL k"),
        ),
        (UpstashFault.NO_PERMISSION, "NOPERM this user has no permissions to run the ", ("PING", "GET k"), ()),
    ],
)
def test_a_refusal_has_the_text_of_upstash_and_concerns_the_right_commands(
    database: UpstashStandIn, fault: UpstashFault, beginning: str, refused: tuple[str, ...], run: tuple[str, ...]
) -> None:
    """Status 400, and only for whoever has a token; good again when it is lifted."""
    database.fault = fault
    for command in refused:
        words = command.split()
        status, answer = said(database, *words)
        assert status == 400
        assert answer["error"].startswith(beginning)
    for command in run:
        assert said(database, *command.split())[0] == 200
    assert ask(database, "POST", "/", '["PING"]', headers={})[0] == 401
    database.fault = UpstashFault.NONE
    assert said(database, "SET", "k", "v") == (200, {"result": "OK"})


@pytest.mark.parametrize(
    ("fault", "status"),
    [(UpstashFault.SERVER_ERROR, 503), (UpstashFault.RATE_LIMIT, 429), (UpstashFault.HTML, 200)],
)
def test_what_stands_before_the_database_does_not_speak_json(
    database: UpstashStandIn, fault: UpstashFault, status: int
) -> None:
    """An edge or a captive portal answers in its own way, with and without a token."""
    database.fault = fault
    for headers in (BEARER, {}):
        answered, body, _ = ask(database, "POST", "/", '["PING"]', headers=headers)
        assert answered == status
        with pytest.raises(ValueError, match="Expecting value"):
            json.loads(body)


def test_a_hanging_request_is_answered_when_the_fault_is_lifted(database: UpstashStandIn) -> None:
    """The connection stands, nothing is said; then everything is."""
    database.fault = UpstashFault.HANG
    answers: list[tuple[int, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(said(database, "PING")))
    asking.start()
    asking.join(0.2)
    assert asking.is_alive()
    database.fault = UpstashFault.NONE
    asking.join(LONG)
    assert answers == [(200, {"result": "PONG"})]


def test_a_host_that_refuses_is_back_at_the_same_address(database: UpstashStandIn) -> None:
    """Nobody listens meanwhile."""
    address = database.address
    database.fault = UpstashFault.REFUSE
    with pytest.raises(ConnectionRefusedError):
        said(database, "PING")
    database.fault = UpstashFault.NONE
    assert database.address == address
    assert said(database, "PING") == (200, {"result": "PONG"})


def test_an_answer_can_be_late(database: UpstashStandIn) -> None:
    """A database far away, or throttled."""
    database.delay_seconds = 0.1
    began = monotonic()
    assert said(database, "PING")[0] == 200
    assert monotonic() - began >= 0.1


def test_only_what_upstash_charges_for_is_billed(database: UpstashStandIn, client: Redis) -> None:
    """PING is free, refused commands too."""
    client.ping()
    with pytest.raises(UpstashError):
        client.execute(["NOSUCH"])
    database.fault = UpstashFault.QUOTA
    with pytest.raises(UpstashError):
        client.get("key")
    database.fault = UpstashFault.NONE
    assert database.billed_commands == 0
    client.set("key", "value")
    assert client.get("key") == "value"
    assert client.delete("key") == 1
    assert database.billed_commands == 3
    assert len(database.requests) == 6


def test_nothing_is_left_of_a_closed_stand_in() -> None:
    """No thread stays: not for a client that keeps its connection, nor for one that waits for an answer."""
    before = set(threading.enumerate())
    with UpstashStandIn(TOKEN) as database:
        kept = http.client.HTTPConnection(database.address, timeout=LONG)
        kept.request("POST", "/", '["PING"]', BEARER)
        assert kept.getresponse().read()
        database.fault = UpstashFault.HANG
        waiting = http.client.HTTPConnection(database.address, timeout=LONG)
        waiting.request("POST", "/", '["PING"]', BEARER)
        while len(database.requests) < 2:
            sleep(0.01)
    end = monotonic() + LONG
    while set(threading.enumerate()) - before and monotonic() < end:
        sleep(0.01)
    assert set(threading.enumerate()) == before
    for connection in (kept, waiting):
        connection.close()


def test_it_speaks_tls_when_told_to() -> None:
    """As Upstash does; a client that trusts another authority does not get as far as a command."""
    certificates = Certificates()
    with UpstashStandIn(TOKEN, tls=certificates.server("127.0.0.1")) as stand_in:
        assert stand_in.url == f"https://{stand_in.address}"
        connection = http.client.HTTPSConnection(stand_in.address, timeout=LONG, context=certificates.client())
        connection.request("POST", "/", json.dumps(["PING"]), BEARER)
        assert json.loads(connection.getresponse().read()) == {"result": "PONG"}
        connection.close()
        stranger = http.client.HTTPSConnection(stand_in.address, timeout=LONG, context=Certificates().client())
        with pytest.raises(ssl.SSLCertVerificationError):
            stranger.request("POST", "/", json.dumps(["PING"]), BEARER)
        assert len(stand_in.requests) == 1


def test_a_command_it_is_silent_on_is_taken_and_not_answered(database: UpstashStandIn) -> None:
    """Others are answered meanwhile; who waits is let go at the end."""
    database.silent_on = frozenset({"GET"})
    waiting = http.client.HTTPConnection(database.address, timeout=LONG)
    waiting.request("POST", "/", '["GET", "key"]', BEARER)
    while len(database.requests) < 1:
        sleep(0.01)
    assert said(database, "PING") == (200, {"result": "PONG"})
    database.stop()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        waiting.getresponse()
    waiting.close()
