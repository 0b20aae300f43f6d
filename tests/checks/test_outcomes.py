"""Every way to misbehave that outcomes tell apart, on real sockets: what comes out, in time, without a secret."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
import ssl
import threading
import zlib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.checks.classify import DETAIL_LIMIT, CheckResult, classify
from monitor.checks.connection import AddressInfo, Resolver, system_lookup
from monitor.checks.observation import Fact, Observation, Outcome
from monitor.checks.rest import RestProbeFactory
from monitor.lib.text import Scrubber
from tests.checks.faulty_server import (
    Behaviour,
    Certificates,
    FaultyServer,
    ServerConnection,
    answer,
    echo,
    faulty_server,
    http,
)
from tests.checks.listener import family_of, port_that_drops, port_that_refuses
from tests.checks.redis_server import redis_server
from tests.program import LONGEST_WAIT_SECONDS

TOKEN = "AXt0kenOfTheRudeTests_77=="
TIMEOUT = timedelta(seconds=0.4)
# For manners that are told by what they say and not by the deadline: the machine may be busy.
LONG = timedelta(seconds=10)
CERTIFICATES = Certificates()
OVERSIZED = b"x" * (2 * 1024 * 1024)


def look_at(
    url: str, *, timeout: timedelta = LONG, resolver: Resolver | None = None
) -> tuple[Observation, CheckResult]:
    """One check; whatever it returns holds neither token nor host, in one short line."""
    probes = RestProbeFactory(scrub=Scrubber([TOKEN]), tls=CERTIFICATES.client(), resolver=resolver)
    probe = probes.probe(url=url, token=TOKEN)
    observation = asyncio.run(probe.ping(timeout=timeout))
    result = classify(observation, slow=None)
    for said in (result.detail, repr(observation)):
        assert TOKEN not in said
        assert "localhost" not in said
    assert result.detail.isprintable()
    assert len(result.detail) <= DETAIL_LIMIT
    return observation, result


def say(data: bytes) -> Behaviour:
    def behaviour(connection: ServerConnection) -> None:
        connection.read_request()
        connection.send(data)

    return behaviour


def hang_after(data: bytes) -> Behaviour:
    def behaviour(connection: ServerConnection) -> None:
        connection.read_request()
        connection.send(data)
        connection.wait()

    return behaviour


def at_once(data: bytes) -> Behaviour:
    """Speak first; a connection that is closed with something unread would be reset, and the words be lost."""

    def behaviour(connection: ServerConnection) -> None:
        connection.send(data)
        connection.wait()

    return behaviour


def drip_after(head: bytes, body: bytes) -> Behaviour:
    def behaviour(connection: ServerConnection) -> None:
        connection.read_request()
        connection.send(head)
        connection.drip(body)

    return behaviour


def reset_after_listening(connection: ServerConnection) -> None:
    connection.read_request()
    connection.reset()


def refusal(text: str, status: int = 400) -> Behaviour:
    return answer(json.dumps({"error": text}), status)


def result(value: object) -> Behaviour:
    return answer(json.dumps({"result": value}))


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def bomb() -> bytes:
    """64 megabytes of zeros in 64 kilobytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return b"".join(packer.compress(bytes(1024 * 1024)) for _ in range(64)) + packer.flush()


WELL_MEANT: list[tuple[str, Behaviour]] = [
    ("as upstash does", echo),
    (
        "without a length",
        lambda connection: connection.send(http(_echoed(connection)).replace(b"Content-Length", b"X-Length")),
    ),
    ("http 1.0", lambda connection: connection.send(http(_echoed(connection)).replace(b"HTTP/1.1", b"HTTP/1.0"))),
    (
        "gzip",
        lambda connection: connection.send(
            http(gzip.compress(_echoed(connection)), head="Content-Encoding: gzip\r\n")
        ),
    ),
    (
        "deflate",
        lambda connection: connection.send(
            http(zlib.compress(_echoed(connection)), head="Content-Encoding: deflate\r\n")
        ),
    ),
    ("in chunks", lambda connection: connection.send(_chunked(_echoed(connection)))),
    (
        "early hints first",
        lambda connection: connection.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + http(_echoed(connection))),
    ),
]


def _echoed(connection: ServerConnection) -> bytes:
    return json.dumps({"result": encoded(connection.read_request()[1])}).encode()


def _chunked(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in body) + b"0\r\n\r\n"


@pytest.mark.parametrize(("_how", "behaviour"), WELL_MEANT, ids=[how for how, _ in WELL_MEANT])
def test_every_well_formed_answer_is_fine(_how: str, behaviour: Behaviour) -> None:
    """However HTTP wraps it, the nonce that comes back is `ok`, with a latency."""
    with faulty_server(behaviour) as server:
        observation, result = look_at(server.url)
    assert result == CheckResult(outcome=Outcome.OK)
    assert observation.phases.latency_ms is not None
    assert observation.http_status == 200


TEXTS: list[tuple[str, int, Outcome, set[Fact]]] = [
    ("WRONGPASS invalid or missing auth token", 401, Outcome.TOKEN_REJECTED, set()),
    ("WRONGPASS invalid password", 400, Outcome.TOKEN_REJECTED, set()),
    ("wrongpass anything", 200, Outcome.TOKEN_REJECTED, set()),
    (
        "WRONGPASS invalid username-password pair or user is disabled.",
        401,
        Outcome.TOKEN_REJECTED,
        {Fact.USER_MAY_BE_DISABLED},
    ),
    ("Unauthorized", 401, Outcome.TOKEN_REJECTED, set()),
    ("Unauthorized", 400, Outcome.TOKEN_REJECTED, set()),
    ("NOAUTH Authentication required", 400, Outcome.TOKEN_REJECTED, set()),
    ("WRONGPASS behind a broken edge", 503, Outcome.TOKEN_REJECTED, set()),
    ("anything else", 401, Outcome.TOKEN_REJECTED, set()),
    ("NOPERM this user has no permissions to run the 'ping' command", 400, Outcome.PERMISSION_DENIED, set()),
    ("Command failed: NOPERM this user has no permissions", 400, Outcome.PERMISSION_DENIED, set()),
    ("noperm in lower case", 403, Outcome.PERMISSION_DENIED, set()),
    ("ERR max requests limit exceeded. Limit: 500000, Usage: 500000.", 400, Outcome.QUOTA_EXCEEDED, set()),
    ("ERR max requests limit exceeded. Limit: 500000", 429, Outcome.QUOTA_EXCEEDED, set()),
    ("ERR max daily request limit exceeded. Limit: 10000", 500, Outcome.QUOTA_EXCEEDED, {Fact.DAILY_LIMIT}),
    ("ERR max bandwidth limit exceeded", 200, Outcome.QUOTA_EXCEEDED, {Fact.BANDWIDTH}),
    ("ERR max commands per second exceeded", 400, Outcome.RATE_LIMITED, set()),
    ("ERR This database has been suspended for exceeding the defined budget.", 400, Outcome.SUSPENDED, set()),
    ("ERR The database is suspended: bandwidth", 400, Outcome.SUSPENDED, {Fact.BANDWIDTH}),
    ("ERR DB capacity quota exceeded. Threshold: 1 bytes", 400, Outcome.CAPACITY_FULL, set()),
    ("OOM command not allowed when used memory > 'maxmemory'.", 400, Outcome.CAPACITY_FULL, set()),
    ("ERR max concurrent connections exceeded", 400, Outcome.TOO_MANY_CONNECTIONS, set()),
    ("ERR max number of clients + cluster connections reached", 400, Outcome.TOO_MANY_CONNECTIONS, set()),
    ("ERR max request size exceeded. Limit: 10485760 bytes", 413, Outcome.COMMAND_ERROR, {Fact.TOO_LARGE}),
    ("ERR max single record size exceeded", 400, Outcome.COMMAND_ERROR, {Fact.TOO_LARGE}),
    ("ERR max key size exceeded. Limit: 32768 bytes", 400, Outcome.COMMAND_ERROR, {Fact.TOO_LARGE}),
    ("ERR Command is not available: 'PING'. See …", 400, Outcome.COMMAND_ERROR, {Fact.NOT_OVER_REST}),
    ('ERR Command "AUTH" is not allowed in REST', 400, Outcome.COMMAND_ERROR, {Fact.NOT_OVER_REST}),
    ("LOADING Redis is loading the dataset in memory", 503, Outcome.UNAVAILABLE, set()),
    ("ERR LOADING Redis is loading the dataset in memory", 400, Outcome.UNAVAILABLE, set()),
    ("READONLY You can't write against a read only replica.", 400, Outcome.UNAVAILABLE, set()),
    ("BUSY Redis is busy running a script.", 400, Outcome.UNAVAILABLE, set()),
    ("BUSYGROUP Consumer Group name already exists", 400, Outcome.COMMAND_ERROR, set()),
    ("DENIED Redis is running in protected mode because …", 400, Outcome.ACCESS_DENIED, set()),
    ("ERR unknown command 'PING'", 400, Outcome.COMMAND_ERROR, set()),
    ("something nobody has seen", 200, Outcome.COMMAND_ERROR, {Fact.UNKNOWN_TEXT}),
    ("ERR something nobody has seen", 404, Outcome.COMMAND_ERROR, {Fact.UNKNOWN_TEXT}),
    ("slow down", 429, Outcome.RATE_LIMITED, set()),
    ("ERR internal", 500, Outcome.SERVER_ERROR, set()),
    ("Forbidden", 403, Outcome.ACCESS_DENIED, set()),
    ("ERR who are you", 403, Outcome.ACCESS_DENIED, set()),
    ("log in to the proxy", 407, Outcome.ACCESS_DENIED, {Fact.PROXY_ASKS_LOGIN}),
    ("not in your country", 451, Outcome.ACCESS_DENIED, {Fact.BLOCKED_BY_LAW}),
    ("log in to the network", 511, Outcome.ACCESS_DENIED, {Fact.PORTAL}),
    ("not found", 404, Outcome.NOT_UPSTASH, set()),
]


@pytest.mark.parametrize(("text", "status", "outcome", "facts"), TEXTS)
def test_an_error_text_is_asked_before_the_status(
    text: str, status: int, outcome: Outcome, facts: set[Fact]
) -> None:
    """Known texts decide by their beginning, whatever the status; the status decides for the rest."""
    with faulty_server(refusal(text, status)) as server:
        observation, result = look_at(server.url)
    assert (result.outcome, set(result.facts)) == (outcome, facts)
    assert text[:20] in result.detail
    assert observation.http_status == status
    assert observation.phases.latency_ms is not None


PAGE = "<html><body>Please log in</body></html>"
STRANGE: list[tuple[str, Behaviour, Outcome]] = [
    ("html", answer(PAGE, kind="text/html"), Outcome.NOT_UPSTASH),
    ("no content", say(b"HTTP/1.1 204 No Content\r\n\r\n"), Outcome.NOT_UPSTASH),
    *(
        (f"html {status}", answer(PAGE, status, kind="text/html"), Outcome.NOT_UPSTASH)
        for status in (206, 400, 402, 404, 405, 413)
    ),
    *(
        (f"html {status}", answer(PAGE, status, kind="text/html"), Outcome.ACCESS_DENIED)
        for status in (403, 407, 451, 511)
    ),
    ("half the body of a 403", say(http("{}" * 50, 403)[:-20]), Outcome.ACCESS_DENIED),
    ("html 429", answer(PAGE, 429, kind="text/html"), Outcome.RATE_LIMITED),
    *(
        (f"html {status}", answer(PAGE, status, kind="text/html"), Outcome.SERVER_ERROR)
        for status in (500, 502, 503, 504, 520)
    ),
    ("empty 502", answer("", 502), Outcome.SERVER_ERROR),
    ("empty 200", answer(""), Outcome.NOT_UPSTASH),
    ("PONG, which a cache can say", result(encoded("PONG")), Outcome.NOT_UPSTASH),
    ("another nonce", result(encoded("0123456789abcdef0123456789abcdef")), Outcome.NOT_UPSTASH),
    ("not in base64", result("€"), Outcome.NOT_UPSTASH),
    ("base64 of no text", result(base64.b64encode(b"\xff\xfe").decode()), Outcome.NOT_UPSTASH),
    ("null", result(None), Outcome.NOT_UPSTASH),
    ("a list", result([encoded("PONG")]), Outcome.NOT_UPSTASH),
    ("a number", result(1), Outcome.NOT_UPSTASH),
    ("an object of another shape", answer('{"message": "hello"}'), Outcome.NOT_UPSTASH),
    ("a list of results", answer('[{"result": "x"}]'), Outcome.NOT_UPSTASH),
    ("a bare text", answer('"hello"'), Outcome.NOT_UPSTASH),
    ("JSON null", answer("null"), Outcome.NOT_UPSTASH),
    ("an error that is no text", answer('{"error": {"code": 7}}', 400), Outcome.NOT_UPSTASH),
    ("an empty error", answer('{"error": ""}', 400), Outcome.NOT_UPSTASH),
    ("deeply nested", answer("[" * 100_000), Outcome.NOT_UPSTASH),
    ("no UTF-8", answer(b'{"result": "\xff\xfe"}'), Outcome.NOT_UPSTASH),
    ("binary", answer(bytes(range(256)) * 8, kind="application/octet-stream"), Outcome.NOT_UPSTASH),
    (
        "control characters",
        answer('{"error": "ERR \\u001b[2J\\u0007\\r\\n\\u202e x"}', 400),
        Outcome.COMMAND_ERROR,
    ),
    ("a megabyte and more", answer(OVERSIZED), Outcome.NOT_UPSTASH),
    ("a gzip bomb", answer(bomb(), head="Content-Encoding: gzip\r\n"), Outcome.NOT_UPSTASH),
    ("no gzip", answer("{}", head="Content-Encoding: gzip\r\n"), Outcome.NOT_UPSTASH),
    (
        "cut gzip",
        answer(gzip.compress(b"{}" * 99)[:20], head="Content-Encoding: gzip\r\n"),
        Outcome.CONNECTION_LOST,
    ),
    ("gzip twice", answer("{}", head="Content-Encoding: gzip, gzip\r\n"), Outcome.NOT_UPSTASH),
    ("brotli", answer("{}", head="Content-Encoding: br\r\n"), Outcome.NOT_UPSTASH),
    ("redis", say(b"-ERR Protocol error\r\n"), Outcome.NOT_UPSTASH),
    ("ssh", at_once(b"SSH-2.0-OpenSSH_9.2\r\n"), Outcome.NOT_UPSTASH),
    ("half a status line", say(b"HTTP/1.1 2"), Outcome.CONNECTION_LOST),
    ("half the headers", say(b"HTTP/1.1 200 OK\r\nContent-Type: app"), Outcome.CONNECTION_LOST),
    ("half the body", say(http("{}" * 50)[:-20]), Outcome.CONNECTION_LOST),
    ("half the body of a 503", say(http("{}" * 50, 503)[:-20]), Outcome.SERVER_ERROR),
    ("no status", say(b"HTTP/1.1 abc\r\n\r\n"), Outcome.NOT_UPSTASH),
    ("headers without end", say(b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 50_000), Outcome.NOT_UPSTASH),
    ("closed at once", lambda connection: None, Outcome.CONNECTION_LOST),
    ("closed after the request", say(b""), Outcome.CONNECTION_LOST),
    ("reset after the request", reset_after_listening, Outcome.CONNECTION_LOST),
    (
        "an endless body",
        lambda connection: _endless(connection, http("")[:-21] + b"\r\n\r\n"),
        Outcome.NOT_UPSTASH,
    ),
    ("endless chunks", lambda connection: _endless(connection, _chunked(b"")[:-5]), Outcome.NOT_UPSTASH),
]


def _endless(connection: ServerConnection, head: bytes) -> None:
    connection.read_request()
    connection.send(head)
    connection.flood(b"FFFF\r\n" + b"x" * 0xFFFF + b"\r\n")


@pytest.mark.parametrize(("_how", "behaviour", "outcome"), STRANGE, ids=[how for how, _, _ in STRANGE])
def test_a_strange_answer_has_its_outcome(_how: str, behaviour: Behaviour, outcome: Outcome) -> None:
    """No answer is taken for a database's that is none, and each is told for what it is."""
    with faulty_server(behaviour) as server:
        _, result = look_at(server.url)
        connections = server.connections
    assert result.outcome is outcome
    assert result.detail
    assert connections == 1


IS_A_WALL = [
    ("a page", answer(PAGE, kind="text/html")),
    ("a page that is said to be text", answer(f"\n<!DOCTYPE html>{PAGE}", kind="text/plain")),
    ("a 401 page", answer(PAGE, 401, kind="text/html")),
    ("a 401 with nothing in it", answer("", 401, kind="text/plain")),
    ("a 401 in words", answer("401 Authorization Required", 401, kind="text/plain")),
    ("a 401 of a gateway", answer('{"message": "Unauthorized"}', 401)),
    ("a 401 whose error is no text", answer('{"error": {"code": 401}}', 401)),
    ("a 401 in a list", answer('["Unauthorized"]', 401)),
]


@pytest.mark.parametrize(("_how", "behaviour"), IS_A_WALL, ids=[how for how, _ in IS_A_WALL])
def test_what_asks_a_person_to_log_in_is_a_wall(_how: str, behaviour: Behaviour) -> None:
    """A 401 that is not in Upstash's form, or a page, is a proxy's or a portal's; the token may be fine."""
    with faulty_server(behaviour) as server:
        _, result = look_at(server.url)
    assert (result.outcome, set(result.facts)) == (Outcome.NOT_UPSTASH, {Fact.WALL})


@pytest.mark.parametrize(
    "body", ["Unauthorized", "unauthorised\n", '"Unauthorized"', '{"error": "Invalid token"}']
)
def test_a_401_in_the_form_of_upstash_refuses_the_token(body: str) -> None:
    """An object with `error`, or the bare word of older databases, as text or as a JSON string."""
    with faulty_server(answer(body, 401, kind="text/plain")) as server:
        _, result = look_at(server.url)
    assert (result.outcome, result.facts) == (Outcome.TOKEN_REJECTED, frozenset())
    assert result.detail.strip('"').lower().startswith(("unauthori", "http 401"))


REDIRECTS = [
    ("https://localhost/", Fact.REDIRECT_TO_HTTPS, "a redirect to https:// of the same host"),
    ("https://localhost:8443/x?token=abc", Fact.REDIRECT_TO_HTTPS, "a redirect to https:// of the same host"),
    ("/login?next=/", Fact.REDIRECT, "a redirect to another path of the same host"),
    ("http://localhost/", Fact.REDIRECT, "a redirect to the usual port of the same host"),
    ("http://localhost:1/", Fact.REDIRECT, "a redirect to port 1 of the same host"),
    ("https://user:pass@login.example/?back=secret", Fact.REDIRECT, "a redirect to login.example"),
    ("//portal.example/", Fact.REDIRECT, "a redirect to portal.example"),
    ("", Fact.REDIRECT, "a redirect to nowhere"),
    ("https://[::1", Fact.REDIRECT, "a redirect to what is no URL"),
    ("mailto:somebody", Fact.REDIRECT, "a redirect to what is no URL"),
    ("https://a b/", Fact.REDIRECT, "a redirect to what is no URL"),
]


@pytest.mark.parametrize(("location", "fact", "words"), REDIRECTS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_tells_where_it_leads(location: str, fact: Fact, words: str, status: int) -> None:
    """To https:// of the same host, or to another host by its name; of the rest of the address nothing is told."""
    with faulty_server(answer("", status, head=f"Location: {location}\r\n")) as server:
        _, result = look_at(server.url)
    assert result == CheckResult(
        outcome=Outcome.NOT_UPSTASH, detail=f"HTTP {status}: {words}", facts=frozenset({fact})
    )


def test_an_answer_that_names_another_place_and_is_no_redirect_is_none() -> None:
    """A 201 may have a Location too."""
    with faulty_server(answer("{}", 201, head="Location: /elsewhere\r\n")) as server:
        _, result = look_at(server.url)
    assert (result.outcome, result.facts) == (Outcome.NOT_UPSTASH, frozenset())


SILENT: list[tuple[str, Behaviour, str]] = [
    ("says nothing", lambda connection: connection.wait(), "connected, but no answer within"),
    ("listens and says nothing", hang_after(b""), "connected, but no answer within"),
    ("stops in the status line", hang_after(b"HTTP/1.1 "), "the answer began"),
    ("stops in the headers", hang_after(b"HTTP/1.1 200 OK\r\nX: "), "the answer began"),
    ("stops in the body", hang_after(http("{}" * 50)[:-20]), "the answer began"),
    ("drips its headers", lambda connection: connection.drip(http("{}" * 500)), "the answer began"),
    ("drips its body", drip_after(http("x" * 999)[:-999], b"x" * 999), "the answer began"),
]


@pytest.mark.parametrize(("_how", "behaviour", "words"), SILENT, ids=[how for how, _, _ in SILENT])
@pytest.mark.faults("HTTP answers of any form")
def test_an_answer_that_does_not_end_ends_at_the_deadline(_how: str, behaviour: Behaviour, words: str) -> None:
    """Connected, and then too slow in whatever way: a response timeout, with no latency."""
    with faulty_server(behaviour) as server:
        started = monotonic()
        observation, result = look_at(server.url, timeout=TIMEOUT)
        took = monotonic() - started
    assert result.outcome is Outcome.RESPONSE_TIMEOUT
    assert words in result.detail
    assert observation.phases.latency_ms is None
    assert took < 5


def test_a_port_nobody_listens_on_refuses() -> None:
    """The system says so at once."""
    _, result = look_at(f"http://127.0.0.1:{port_that_refuses()}")
    assert result == CheckResult(outcome=Outcome.CONNECTION_REFUSED)


def test_a_host_that_takes_no_connection_times_out_while_connecting() -> None:
    """A listener with a full queue drops what comes, as a firewall does."""
    with port_that_drops() as port:
        _, result = look_at(f"http://127.0.0.1:{port}", timeout=TIMEOUT)
    assert result == CheckResult(outcome=Outcome.CONNECTION_TIMEOUT, detail="the host did not answer within 0.4 s")


def test_a_trusted_certificate_is_fine() -> None:
    """The whole way over TLS, with a phase for it."""
    with faulty_server(echo, tls=CERTIFICATES.server()) as server:
        observation, result = look_at(server.url)
    assert result.outcome is Outcome.OK
    assert observation.phases.tls is not None
    assert observation.phases.total is not None
    assert observation.phases.total >= observation.phases.tls


@pytest.mark.parametrize(
    ("tls", "words", "fact"),
    [
        (CERTIFICATES.server(is_trusted=False), "unable to get local issuer", Fact.CERTIFICATE_UNTRUSTED),
        (CERTIFICATES.server(starts=-30, ends=-1), "expired", Fact.CERTIFICATE_OUT_OF_DATE),
        (CERTIFICATES.server(starts=1), "not yet valid", Fact.CERTIFICATE_OUT_OF_DATE),
        (CERTIFICATES.server("other.example"), "for another name", Fact.CERTIFICATE_OF_ANOTHER_NAME),
    ],
    ids=["a stranger's", "expired", "not yet valid", "of another name"],
)
@pytest.mark.faults("TLS that expires, stalls, is cut, is a stranger's")
def test_a_certificate_that_is_not_good_is_refused_with_the_reason(
    tls: ssl.SSLContext, words: str, fact: Fact
) -> None:
    """Strangers, expired ones, those of tomorrow and those for another name; the token is not sent."""
    with faulty_server(echo, tls=tls) as server:
        _, result = look_at(server.url)
        received = server.requests
    assert (result.outcome, set(result.facts)) == (Outcome.TLS_FAILED, {fact})
    assert words in result.detail
    assert received == []


@pytest.mark.faults("TLS that expires, stalls, is cut, is a stranger's")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=str)
def test_a_protocol_that_nobody_should_speak_any_more_is_refused(version: ssl.TLSVersion) -> None:
    """TLS 1.0 and 1.1; the token is not sent."""
    old = CERTIFICATES.server()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = version
    with faulty_server(echo, tls=old) as server:
        _, result = look_at(server.url)
        received = server.requests
    assert (result.outcome, received) == (Outcome.TLS_FAILED, [])
    assert result.detail == "it offers no version of TLS that is still in use (1.2 and newer)"


def test_a_port_that_does_not_speak_tls_is_told_at_once() -> None:
    """https to a plain HTTP port."""
    with faulty_server(at_once(http("{}", 400))) as server:
        _, result = look_at(server.url.replace("http://", "https://"))
    assert result == CheckResult(
        outcome=Outcome.TLS_FAILED, detail="the port answers unencrypted", facts=frozenset({Fact.NOT_TLS})
    )


def test_a_redis_without_tls_is_told_from_a_handshake_that_hangs(tmp_path: Path) -> None:
    """It waits for the end of a line that never comes, so it is asked in its own protocol, without the token."""
    with redis_server(tmp_path, is_encrypted=False) as server:
        _, result = look_at(f"https://127.0.0.1:{server.port}", timeout=timedelta(seconds=5))
    assert result == CheckResult(
        outcome=Outcome.TLS_FAILED, detail="the port speaks Redis unencrypted", facts=frozenset({Fact.NOT_TLS})
    )


@pytest.mark.faults("TLS that expires, stalls, is cut, is a stranger's")
def test_a_handshake_that_hangs_is_a_tls_timeout() -> None:
    """TCP stands, TLS never: no finished handshake before the deadline."""
    with faulty_server(lambda connection: connection.wait()) as server:
        _, result = look_at(server.url.replace("http://", "https://"), timeout=TIMEOUT)
    assert result == CheckResult(outcome=Outcome.TLS_TIMEOUT, detail="not ended within 0.4 s")


@pytest.mark.parametrize("behaviour", [lambda connection: None, ServerConnection.reset])
@pytest.mark.faults("TLS that expires, stalls, is cut, is a stranger's")
def test_a_handshake_that_is_cut_is_a_lost_connection(behaviour: Behaviour) -> None:
    """Closed or reset in the middle of TLS."""
    with faulty_server(behaviour) as server:
        _, result = look_at(server.url.replace("http://", "https://"))
    assert result.outcome is Outcome.CONNECTION_LOST


def failing(code: int) -> Resolver:
    """No name server can be made to fail on loopback without being root's resolver: the lookup is handed in."""

    def lookup(host: str, port: int) -> Sequence[AddressInfo]:
        raise socket.gaierror(code, f"no {host}")

    return Resolver(lookup)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (socket.EAI_NONAME, Outcome.DNS_NOT_FOUND),
        (socket.EAI_NODATA, Outcome.DNS_NOT_FOUND),
        (socket.EAI_AGAIN, Outcome.DNS_FAILED),
        (socket.EAI_FAIL, Outcome.DNS_FAILED),
        (socket.EAI_SYSTEM, Outcome.DNS_FAILED),
    ],
)
@pytest.mark.faults("a resolver that lies, hangs, fails, knows no or thousands of addresses")
def test_a_name_that_is_not_there_is_told_from_a_resolver_that_fails(code: int, outcome: Outcome) -> None:
    """The system's own codes tell the two apart."""
    _, result = look_at("https://gone.example", resolver=failing(code))
    assert result.outcome is outcome


def leading_to(*addresses: str) -> Resolver:
    """A resolver that answers every name with these."""

    def lookup(host: str, port: int) -> Sequence[AddressInfo]:
        return [info for address in addresses for info in system_lookup(address, port)]

    return Resolver(lookup)


@pytest.mark.parametrize(
    "addresses", [("0.0.0.0",), ("127.0.0.1",), ("127.0.0.53", "127.0.0.1"), ("::",), ("::1",)]
)
@pytest.mark.faults("a resolver that lies, hangs, fails, knows no or thousands of addresses")
def test_a_public_name_that_leads_to_this_machine_is_filtered(addresses: tuple[str, ...]) -> None:
    """That is how filters of names answer for what they block; nobody listens there."""
    port = port_that_refuses()
    _, result = look_at(f"https://blocked.upstash.io:{port}", resolver=leading_to(*addresses))
    assert result.outcome in (Outcome.CONNECTION_REFUSED, Outcome.NETWORK_UNREACHABLE)
    assert result.facts == {Fact.NAME_FILTERED}
    assert f"the name leads to {addresses[0]}, which is this machine" in result.detail


@pytest.mark.parametrize(
    "host",
    ["localhost", "redis.localhost", "redis.internal", "db.railway.internal", "redis", "127.0.0.1", "[::1]"],
)
def test_a_private_name_may_lead_to_this_machine(host: str) -> None:
    """A hosts file or a network of one's own does so for good reason."""
    port = port_that_refuses("::1" if host == "[::1]" else "127.0.0.1")
    _, result = look_at(f"http://{host}:{port}", resolver=leading_to("127.0.0.1"))
    assert result == CheckResult(outcome=Outcome.CONNECTION_REFUSED)


def test_a_public_name_on_this_machine_where_somebody_answers_is_no_filter() -> None:
    """Whoever has a proxy of his own in front of the database means it so."""
    with faulty_server(answer("", 404)) as server:
        _, result = look_at(f"http://redis.example:{server.port}", resolver=leading_to("127.0.0.1"))
    assert (result.outcome, result.facts) == (Outcome.NOT_UPSTASH, frozenset())


@pytest.mark.faults("a resolver that lies, hangs, fails, knows no or thousands of addresses")
def test_a_resolver_that_hangs_ends_at_the_deadline() -> None:
    """getaddrinfo cannot be cancelled; the check ends all the same."""

    released = threading.Event()

    def lookup(host: str, port: int) -> Sequence[AddressInfo]:
        released.wait(LONGEST_WAIT_SECONDS)
        return []

    started = monotonic()
    _, result = look_at("https://slow.example", timeout=timedelta(seconds=0.2), resolver=Resolver(lookup))
    released.set()
    assert monotonic() - started < LONGEST_WAIT_SECONDS
    assert result == CheckResult(outcome=Outcome.DNS_FAILED, detail="the resolver did not answer within 0.2 s")


def test_the_name_localhost_is_found_on_both_families() -> None:
    """A server on IPv6 alone is reached through a name that has both addresses."""

    def both(host: str, port: int) -> Sequence[AddressInfo]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
        ]

    server = FaultyServer(echo, family=family_of("::1"))
    try:
        _, result = look_at(server.url, resolver=Resolver(both))
    finally:
        server.close()
    assert result.outcome is Outcome.OK


@given(noise=st.binary(max_size=200), cut=st.integers(0, 200), as_body=st.booleans())
@settings(max_examples=60)
@pytest.mark.faults("HTTP answers of any form")
def test_no_noise_raises_anything(noise: bytes, cut: int, as_body: bool) -> None:
    """Whatever bytes come back, the check ends with one outcome that is not fine."""
    data = http(noise)[: len(http(noise)) - cut or None] if as_body else noise
    with faulty_server(say(data)) as server:
        _, result = look_at(server.url, timeout=timedelta(seconds=2))
    assert result.outcome.family.is_failing
