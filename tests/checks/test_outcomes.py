"""Every way to misbehave that outcomes tell apart, on real sockets: what comes out, in time, without a secret."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
import zlib
from collections.abc import Sequence
from datetime import timedelta
from time import monotonic

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.checks.classify import DETAIL_LIMIT, CheckResult, classify
from monitor.checks.connection import AddressInfo, Resolver
from monitor.checks.observation import Observation, Outcome
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


TEXTS: list[tuple[str, int, Outcome]] = [
    ("WRONGPASS invalid or missing auth token", 401, Outcome.TOKEN_REJECTED),
    ("WRONGPASS invalid password", 400, Outcome.TOKEN_REJECTED),
    ("wrongpass anything", 200, Outcome.TOKEN_REJECTED),
    ("Unauthorized", 401, Outcome.TOKEN_REJECTED),
    ("Unauthorized", 400, Outcome.TOKEN_REJECTED),
    ("NOAUTH Authentication required", 400, Outcome.TOKEN_REJECTED),
    ("WRONGPASS behind a broken edge", 503, Outcome.TOKEN_REJECTED),
    ("anything else", 401, Outcome.TOKEN_REJECTED),
    ("NOPERM this user has no permissions to run the 'ping' command", 400, Outcome.PERMISSION_DENIED),
    ("noperm in lower case", 403, Outcome.PERMISSION_DENIED),
    ("ERR max requests limit exceeded. Limit: 500000, Usage: 500000.", 400, Outcome.QUOTA_EXCEEDED),
    ("ERR max requests limit exceeded. Limit: 500000", 429, Outcome.QUOTA_EXCEEDED),
    ("ERR max daily request limit exceeded. Limit: 10000", 500, Outcome.QUOTA_EXCEEDED),
    ("ERR This database has been suspended for exceeding the defined budget limit.", 400, Outcome.SUSPENDED),
    ("ERR DB capacity quota exceeded. Threshold: 1 bytes", 400, Outcome.CAPACITY_FULL),
    ("slow down", 429, Outcome.RATE_LIMITED),
    ("ERR internal", 500, Outcome.SERVER_ERROR),
    ("LOADING Redis is loading the dataset in memory", 503, Outcome.SERVER_ERROR),
    ("ERR unknown command", 400, Outcome.COMMAND_ERROR),
    ("LOADING Redis is loading the dataset in memory", 400, Outcome.COMMAND_ERROR),
    ("something nobody has seen", 200, Outcome.COMMAND_ERROR),
    ("not found", 404, Outcome.NOT_UPSTASH),
]


@pytest.mark.parametrize(("text", "status", "outcome"), TEXTS)
def test_an_error_text_is_asked_before_the_status(text: str, status: int, outcome: Outcome) -> None:
    """Known texts decide by their beginning, whatever the status; the status decides for the rest."""
    with faulty_server(refusal(text, status)) as server:
        observation, result = look_at(server.url)
    assert result.outcome is outcome
    assert text[:20] in result.detail
    assert observation.http_status == status
    assert observation.phases.latency_ms is not None


PAGE = "<html><body>Please log in</body></html>"
STRANGE: list[tuple[str, Behaviour, Outcome]] = [
    ("html", answer(PAGE, kind="text/html"), Outcome.NOT_UPSTASH),
    *(
        (f"a redirect {status}", answer("", status, head="Location: /elsewhere\r\n"), Outcome.NOT_UPSTASH)
        for status in (301, 302, 303, 307, 308)
    ),
    ("no content", say(b"HTTP/1.1 204 No Content\r\n\r\n"), Outcome.NOT_UPSTASH),
    *(
        (f"html {status}", answer(PAGE, status, kind="text/html"), Outcome.NOT_UPSTASH)
        for status in (206, 400, 403, 404, 405, 413)
    ),
    ("html 401", answer(PAGE, 401, kind="text/html"), Outcome.TOKEN_REJECTED),
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
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    _, result = look_at(f"http://127.0.0.1:{port}")
    assert result == CheckResult(outcome=Outcome.CONNECTION_REFUSED, detail="connection refused")


def test_a_host_that_takes_no_connection_times_out_while_connecting() -> None:
    """A listener with a full queue drops what comes, as a firewall does."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    waiting = []
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
        waiting.append(filler)
    try:
        _, result = look_at(f"http://127.0.0.1:{full.getsockname()[1]}", timeout=TIMEOUT)
    finally:
        for held in (*waiting, full):
            held.close()
    assert result == CheckResult(outcome=Outcome.CONNECTION_TIMEOUT, detail="no connection within 0.4 s")


def test_a_trusted_certificate_is_fine() -> None:
    """The whole way over TLS, with a phase for it."""
    with faulty_server(echo, tls=CERTIFICATES.server()) as server:
        observation, result = look_at(server.url)
    assert result.outcome is Outcome.OK
    assert observation.phases.tls is not None
    assert observation.phases.total is not None
    assert observation.phases.total >= observation.phases.tls


@pytest.mark.parametrize(
    ("name", "is_trusted", "starts", "ends", "words"),
    [
        ("localhost", False, -1, 30, "unable to get local issuer certificate"),
        ("localhost", True, -30, -1, "expired"),
        ("localhost", True, 1, 30, "not yet valid"),
        ("other.example", True, -1, 30, "certificate is for another name"),
    ],
)
def test_a_certificate_that_is_not_good_is_refused_with_the_reason(
    name: str, is_trusted: bool, starts: int, ends: int, words: str
) -> None:
    """Strangers, expired ones, those of tomorrow and those for another name; the token is not sent."""
    tls = CERTIFICATES.server(name, is_trusted=is_trusted, starts=starts, ends=ends)
    with faulty_server(echo, tls=tls) as server:
        _, result = look_at(server.url)
        received = server.requests
    assert result.outcome is Outcome.TLS_FAILED
    assert words in result.detail
    assert received == []


def test_a_port_that_does_not_speak_tls_is_told_at_once() -> None:
    """https to a plain HTTP port."""
    with faulty_server(at_once(http("{}", 400))) as server:
        _, result = look_at(server.url.replace("http://", "https://"))
    assert result.outcome is Outcome.TLS_FAILED
    assert "does not speak TLS" in result.detail


def test_a_handshake_that_hangs_is_a_tls_timeout() -> None:
    """TCP stands, TLS never: no finished handshake before the deadline."""
    with faulty_server(lambda connection: connection.wait()) as server:
        _, result = look_at(server.url.replace("http://", "https://"), timeout=TIMEOUT)
    assert result == CheckResult(outcome=Outcome.TLS_TIMEOUT, detail="the handshake did not end within 0.4 s")


@pytest.mark.parametrize("behaviour", [lambda connection: None, ServerConnection.reset])
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
def test_a_name_that_is_not_there_is_told_from_a_resolver_that_fails(code: int, outcome: Outcome) -> None:
    """The system's own codes tell the two apart."""
    _, result = look_at("https://gone.example", resolver=failing(code))
    assert result.outcome is outcome


def test_a_resolver_that_hangs_ends_at_the_deadline() -> None:
    """getaddrinfo cannot be cancelled; the check ends all the same."""

    def lookup(host: str, port: int) -> Sequence[AddressInfo]:
        import time

        time.sleep(2)
        return []

    started = monotonic()
    _, result = look_at("https://slow.example", timeout=timedelta(seconds=0.2), resolver=Resolver(lookup))
    assert monotonic() - started < 1.9
    assert result == CheckResult(outcome=Outcome.DNS_FAILED, detail="the resolver did not answer within 0.2 s")


def test_the_name_localhost_is_found_on_both_families() -> None:
    """A server on IPv6 alone is reached through a name that has both addresses."""
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")

    def both(host: str, port: int) -> Sequence[AddressInfo]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
        ]

    try:
        server = FaultyServer(echo, family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 on loopback")
    try:
        _, result = look_at(server.url, resolver=Resolver(both))
    finally:
        server.close()
    assert result.outcome is Outcome.OK


@given(noise=st.binary(max_size=200), cut=st.integers(0, 200), as_body=st.booleans())
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_no_noise_raises_anything(noise: bytes, cut: int, as_body: bool) -> None:
    """Whatever bytes come back, the check ends with one outcome that is not fine."""
    data = http(noise)[: len(http(noise)) - cut or None] if as_body else noise
    with faulty_server(say(data)) as server:
        _, result = look_at(server.url, timeout=timedelta(seconds=2))
    assert result.outcome.family.is_failing
