"""The worker's way against a real redis-server with TLS, and against servers that are none."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest
import trustme

from monitor.checks.classify import classify
from monitor.checks.connection import AddressInfo, Resolver
from monitor.checks.observation import Fact, Observation, Outcome, ProbeFault
from monitor.checks.redis_tcp import WorkerProbe
from monitor.diagnosis.verdicts import Layer, LayerResult, LayerState
from monitor.doctor.database import examine_worker
from monitor.lib.text import Scrubber
from tests.checks.listener import (
    Conduct,
    Listener,
    close_at_once,
    family_of,
    hang,
    http,
    port_that_drops,
    port_that_refuses,
    say,
)
from tests.checks.redis_server import RedisServer, redis_server

SHORT = timedelta(seconds=0.4)
LONG = timedelta(seconds=20)
NOTHING: frozenset[Fact] = frozenset()
REJECTED = frozenset({Fact.WORKER_AUTH_REJECTED})
# In Redis's text for a wrong password, which is that of a user who was switched off too.
WRONG_PASSWORD = REJECTED | {Fact.USER_MAY_BE_DISABLED}
NOT_CONNECTED = frozenset({Fact.WORKER_NOT_CONNECTED})
NOT_ENCRYPTED = frozenset({Fact.WORKER_NOT_ENCRYPTED})
LEGACY_PORT = frozenset({Fact.WORKER_ON_LEGACY_PORT})


def legacy_token(kind: int, number: int) -> str:
    head = bytes([kind, number >> 8, number & 255, 1, 2, 32])
    return base64.urlsafe_b64encode(head + b"id" + b"s" * 32).decode()


READ_ONLY_TOKEN = legacy_token(2, 30690)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    names = ("localhost", "127.0.0.1", "::1", "*.upstash.io")
    with redis_server(folder, read_only_token=READ_ONLY_TOKEN, names=names, ca=authority) as server:
        yield server


@pytest.fixture
def tls_server(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "*.upstash.io").configure_cert(context)
    return context


def to_loopback(_host: str, port: int) -> Sequence[AddressInfo]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


def worker(
    port: int,
    trust: ssl.SSLContext,
    token: str,
    *,
    url: str = "https://127.0.0.1:8443",
    lookup: Callable[[str, int], Sequence[AddressInfo]] = to_loopback,
) -> WorkerProbe:
    return WorkerProbe(
        url=url, token=token, port=port, scrub=Scrubber([token]), tls=trust, resolver=Resolver(lookup)
    )


def ping(probe: WorkerProbe, timeout: timedelta = LONG) -> Observation:
    return asyncio.run(probe.ping(timeout=timeout))


def see(probe: WorkerProbe, timeout: timedelta = LONG) -> LayerResult:
    return asyncio.run(examine_worker(probe, timeout=timeout))


def met(result: LayerResult) -> frozenset[Fact]:
    """The facts but that a connection stood, which goes with each trouble after one and with no other."""
    is_before = bool(result.facts & {Fact.WORKER_NOT_CONNECTED, Fact.WORKER_URL_BROKEN})
    stood = result.state is LayerState.FAILED and not is_before and result.outcome is not Outcome.DNS_NOT_FOUND
    assert (Fact.WORKER_PORT_ACCEPTS in result.facts) is stood
    return result.facts - {Fact.WORKER_PORT_ACCEPTS}


def test_a_worker_that_gets_in_passes(redis: RedisServer) -> None:
    """TLS, AUTH and PING, with the figures of each."""
    probe = worker(redis.port, redis.trust, redis.token)
    result, observation = see(probe), ping(probe)
    assert (result.layer, result.state, result.outcome, met(result)) == (
        Layer.WORKER,
        LayerState.PASSED,
        None,
        NOTHING,
    )
    assert result.detail == f"port {redis.port}: AUTH and PING work"
    assert observation.as_expected
    assert classify(observation, slow=None).outcome is Outcome.OK
    assert classify(observation, slow=timedelta(microseconds=1)).outcome is Outcome.SLOW
    phases = observation.phases
    assert None not in (phases.dns, phases.connect, phases.tls, phases.wait, phases.read, phases.total)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_worker_gets_in_by_either_family(redis: RedisServer, host: str) -> None:
    """With the system's own resolver, the name checked against the certificate."""
    family_of(host.strip("[]"))
    url = f"https://{host}"
    probe = WorkerProbe(url=url, token=redis.token, port=redis.port, scrub=str, tls=redis.trust)
    assert see(probe).state is LayerState.PASSED


def test_a_newline_is_dropped_by_url_parsers(redis: RedisServer) -> None:
    """REST fails with it and a worker does not: the verdict needs exactly this."""
    probe = worker(redis.port, redis.trust, f"{redis.token}\n", url="https://127.0.0.1\r\n")
    assert see(probe).state is LayerState.PASSED


@pytest.mark.parametrize("around", ["{} ", '"{}"', "Bearer {}", "UPSTASH_REDIS_REST_TOKEN={}", "{}%20", "x"])
def test_a_mangled_token_is_refused(redis: RedisServer, around: str) -> None:
    """Everything but newlines and tabs stays in the password, and an escape is resolved."""
    result = see(worker(redis.port, redis.trust, around.replace("{}", redis.token)))
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.TOKEN_REJECTED)
    assert met(result) == WRONG_PASSWORD
    assert "WRONGPASS invalid username-password pair" in result.detail


def test_a_read_only_token_gets_in_with_its_own_user_only(redis: RedisServer) -> None:
    """`default` is what workers build; the layer fails, and says which user the token goes with."""
    result = see(worker(redis.port, redis.trust, READ_ONLY_TOKEN, url="https://a-b-30690.upstash.io"))
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.TOKEN_REJECTED)
    assert met(result) == WRONG_PASSWORD | {Fact.WORKER_AS_READ_ONLY}
    assert result.detail.endswith(f"; port {redis.port} as default_ro: AUTH and PING work")


def test_a_token_that_only_looks_read_only_is_refused_for_both_users(redis: RedisServer) -> None:
    """An older database's token is not its password, whatever its layout says; the layer does not claim more."""
    result = see(worker(redis.port, redis.trust, legacy_token(2, 1)))
    assert met(result) == WRONG_PASSWORD
    assert result.detail.count("WRONGPASS") == 1


def test_the_port_of_older_databases_is_tried_when_the_usual_one_lets_nobody_in(redis: RedisServer) -> None:
    """It is the number in the host's name. The layer passes on it, with a fact that says so."""
    refused = port_that_refuses()
    url = f"https://us1-merry-cat-{redis.port}.upstash.io"
    result = see(worker(refused, redis.trust, redis.token, url=url))
    assert (result.state, result.outcome, met(result)) == (LayerState.PASSED, None, LEGACY_PORT)
    assert result.detail.startswith(f"port {refused}: connection refused")
    assert result.detail.endswith(f"; port {redis.port}: AUTH and PING work")


def test_a_port_that_drops_everything_leaves_time_for_the_other(redis: RedisServer) -> None:
    """Half the deadline each."""
    url = f"https://us1-merry-cat-{redis.port}.upstash.io"
    with port_that_drops() as port:
        result = see(worker(port, redis.trust, redis.token, url=url), timedelta(seconds=2))
    assert (result.state, met(result)) == (LayerState.PASSED, LEGACY_PORT)
    assert f"port {port}: connection timed out: " in result.detail
    assert "within 1 s" in result.detail


def test_an_older_database_that_refuses_the_token_says_so(redis: RedisServer) -> None:
    """On its port its password counts, which may be another than the REST token."""
    url = f"https://us1-merry-cat-{redis.port}.upstash.io"
    result = see(worker(port_that_refuses(), redis.trust, "the-rest-token", url=url))
    assert (result.state, met(result)) == (LayerState.FAILED, WRONG_PASSWORD)


def test_when_neither_port_lets_anybody_in_both_are_told(trust: ssl.SSLContext) -> None:
    """The first one decides the outcome."""
    other = port_that_refuses()
    with port_that_drops() as port:
        url = f"https://us1-merry-cat-{other}.upstash.io"
        result = see(worker(port, trust, "token", url=url), SHORT)
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.CONNECTION_TIMEOUT)
    assert met(result) == NOT_CONNECTED | {Fact.NAME_FILTERED}
    first, second = result.detail.split("; ")
    assert re.match(rf"port {port}: .+ within 0\.2 s, and the name leads to 127\.0\.0\.1", first)
    assert second.startswith(f"port {other}: connection refused")


def test_the_usual_port_is_not_tried_twice(trust: ssl.SSLContext) -> None:
    """A host may be named after the very port that its worker uses."""
    tried: list[int] = []

    def count(host: str, port: int) -> Sequence[AddressInfo]:
        tried.append(port)
        return to_loopback(host, port)

    port = port_that_refuses()
    result = see(worker(port, trust, "token", url=f"https://us1-merry-cat-{port}.upstash.io", lookup=count))
    assert (result.outcome, tried) == (Outcome.CONNECTION_REFUSED, [port])
    assert met(result) == NOT_CONNECTED | {Fact.NAME_FILTERED}


def test_a_lookup_that_fails_blames_no_port(trust: ssl.SSLContext) -> None:
    """Then the port cannot be told to be blocked, and no other is tried."""

    def nowhere(_host: str, _port: int) -> Sequence[AddressInfo]:
        raise socket.gaierror(socket.EAI_NONAME, "?")

    result = see(worker(6379, trust, "token", url="https://us1-merry-cat-30690.upstash.io", lookup=nowhere))
    assert (result.state, result.outcome, met(result)) == (LayerState.FAILED, Outcome.DNS_NOT_FOUND, NOTHING)
    assert result.detail == "port 6379"


@pytest.mark.parametrize(
    ("rights", "outcome", "says"),
    [
        ("on -@all", Outcome.PERMISSION_DENIED, "NOPERM"),
        ("off +@all", Outcome.TOKEN_REJECTED, "WRONGPASS"),
    ],
)
def test_what_a_user_may_not_do_is_told(
    tmp_path: Path, authority: trustme.CA, rights: str, outcome: Outcome, says: str
) -> None:
    """Logged in and not allowed even `PING`, which proves host and token right; or switched off."""
    with redis_server(tmp_path, ca=authority, rights=rights) as server:
        result = see(worker(server.port, server.trust, server.token))
    assert (result.state, result.outcome) == (LayerState.FAILED, outcome)
    assert says in result.detail


def reply(*lines: bytes) -> Conduct:
    """Answer the first thing that comes with these lines, one for each command that follows."""

    def conduct(connection: socket.socket) -> None:
        for line in lines:
            connection.recv(65536)
            connection.sendall(line)
        hang(connection)

    return conduct


OK = b"+OK\r\n"


@pytest.mark.parametrize(
    ("conduct", "outcome", "facts"),
    [
        (reply(b"-NOAUTH Authentication required.\r\n"), Outcome.TOKEN_REJECTED, REJECTED),
        (reply(b"-ERR max requests limit exceeded. Limit: 5, Usage: 5.\r\n"), Outcome.QUOTA_EXCEEDED, NOTHING),
        (reply(OK, b"-ERR max requests limit exceeded.\r\n"), Outcome.QUOTA_EXCEEDED, NOTHING),
        (reply(OK, b"-ERR This database has been suspended\r\n"), Outcome.SUSPENDED, NOTHING),
        (reply(b"-LOADING Redis is loading the dataset in memory\r\n"), Outcome.UNAVAILABLE, NOTHING),
        (reply(b"-ERR max number of clients reached\r\n"), Outcome.TOO_MANY_CONNECTIONS, NOTHING),
        (reply(b"-ERR max concurrent connections exceeded\r\n"), Outcome.TOO_MANY_CONNECTIONS, NOTHING),
        (reply(b"-ERR something new\r\n"), Outcome.COMMAND_ERROR, frozenset({Fact.UNKNOWN_TEXT})),
        (reply(b"-\r\n"), Outcome.NOT_UPSTASH, NOTHING),
        (reply(OK, b"+PONG\r\n"), Outcome.NOT_UPSTASH, NOTHING),
        (reply(OK, b"$-1\r\n"), Outcome.NOT_UPSTASH, NOTHING),
        (reply(OK, b":1\r\n"), Outcome.NOT_UPSTASH, NOTHING),
        (reply(b"+WELL\r\n"), Outcome.NOT_UPSTASH, NOTHING),
        (reply(b":7\r\n"), Outcome.NOT_UPSTASH, NOTHING),
        (reply(b"$abc\r\n"), Outcome.NOT_UPSTASH, NOTHING),
        (reply(b"*1000000\r\n" * 5000), Outcome.NOT_UPSTASH, NOTHING),
        (reply(b"\x00\xff\x00\r\n"), Outcome.NOT_UPSTASH, NOTHING),
        (say(http(400, "<html></html>", "text/html")), Outcome.NOT_UPSTASH, NOTHING),
        (reply(OK + b"$8\r\ncut"), Outcome.RESPONSE_TIMEOUT, NOTHING),
        (hang, Outcome.RESPONSE_TIMEOUT, NOTHING),
        (reply(OK), Outcome.RESPONSE_TIMEOUT, NOTHING),
        (close_at_once, Outcome.CONNECTION_LOST, NOTHING),
        (lambda connection: connection.sendall(b"+O"), Outcome.CONNECTION_LOST, NOTHING),
    ],
)
def test_what_answers_behind_tls_is_told_apart(
    trust: ssl.SSLContext, tls_server: ssl.SSLContext, conduct: Conduct, outcome: Outcome, facts: frozenset[Fact]
) -> None:
    """Known refusals by name, whatever is not Redis as such, silence at the deadline."""
    timeout = SHORT if outcome is Outcome.RESPONSE_TIMEOUT else LONG
    begun = monotonic()
    with Listener(conduct, tls=tls_server) as server:
        result = see(worker(server.port, trust, "token"), timeout)
        # A refused token is tried with the other user; nothing else is tried again.
        assert server.connections == (2 if facts == REJECTED else 1)
    assert monotonic() - begun < 10
    assert (result.state, result.outcome, met(result)) == (LayerState.FAILED, outcome, facts)
    assert result.detail.isprintable()
    assert "localhost" not in result.detail


def test_a_farewell_is_not_waited_for(trust: ssl.SSLContext, tls_server: ssl.SSLContext) -> None:
    """To part politely after a login that failed could take half a minute and hide the refusal."""
    over = threading.Event()

    def refuse_and_forget(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")
        over.wait(30)

    with Listener(refuse_and_forget, tls=tls_server) as server:
        begun = monotonic()
        observation = ping(worker(server.port, trust, "token"))
        assert monotonic() - begun < 10
        over.set()
    assert classify(observation, slow=None).outcome is Outcome.TOKEN_REJECTED


@pytest.mark.parametrize(
    "flood", [b"x" * 65536, b"+" + b"y" * 65536, b"$2000000000\r\n" + b"z" * 65536, b"*2000000000\r\n:1\r\n"]
)
def test_an_endless_answer_is_not_read_to_its_end(
    trust: ssl.SSLContext, tls_server: ssl.SSLContext, flood: bytes
) -> None:
    """An answer to a login is short; what goes on is cut off, long before the deadline and with little memory."""
    sent = 0

    def pour(connection: socket.socket) -> None:
        nonlocal sent
        connection.recv(65536)
        while True:
            sent += connection.send(flood)

    with Listener(pour, tls=tls_server) as server:
        begun = monotonic()
        observation = ping(worker(server.port, trust, "token"))
        assert monotonic() - begun < 10
    assert observation.fault in (ProbeFault.OVERSIZED, ProbeFault.NOT_HTTP)
    assert classify(observation, slow=None).outcome is Outcome.NOT_UPSTASH
    assert sent < 32 * 1024 * 1024


def test_a_refused_connection_is_told(trust: ssl.SSLContext) -> None:
    """No port number in the host's name, so there is nothing else to try."""
    port = port_that_refuses()
    result = see(worker(port, trust, "token"))
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.CONNECTION_REFUSED)
    assert met(result) == NOT_CONNECTED
    assert result.detail.startswith(f"port {port}")


def test_a_port_that_drops_everything_ends_at_the_deadline(trust: ssl.SSLContext) -> None:
    """That is how a blocked port looks from inside."""
    with port_that_drops() as port:
        begun = monotonic()
        result = see(worker(port, trust, "token"), SHORT)
        assert monotonic() - begun < 10
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.CONNECTION_TIMEOUT)
    assert met(result) == NOT_CONNECTED


def test_a_connection_that_stood_is_not_called_blocked(trust: ssl.SSLContext) -> None:
    """Some firewalls let the connection come about and stop what is said on it; so does a full Redis with TLS."""
    with Listener(hang) as server:
        result = see(worker(server.port, trust, "token"), SHORT)
    assert (result.state, result.outcome, met(result)) == (LayerState.FAILED, Outcome.TLS_TIMEOUT, NOT_ENCRYPTED)
    assert result.detail.endswith("within 0.4 s")
    with Listener(close_at_once) as server:
        result = see(worker(server.port, trust, "token"))
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.CONNECTION_LOST)
    assert met(result) == NOT_ENCRYPTED


def test_a_certificate_that_came_is_what_the_worker_met(authority: trustme.CA, trust: ssl.SSLContext) -> None:
    """TLS is spoken there: neither the wrong port nor a Redis that is full, but a certificate to look at."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    with Listener(hang, tls=context) as server:
        result = see(worker(server.port, trust, "token"))
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.TLS_FAILED)
    assert met(result) == {Fact.CERTIFICATE_OF_ANOTHER_NAME}
    assert result.detail.endswith("certificate refused: it is for another name")


@pytest.mark.parametrize("conduct", [hang, close_at_once])
def test_the_port_of_older_databases_is_tried_where_nothing_is_encrypted(
    redis: RedisServer, conduct: Conduct
) -> None:
    """Somebody else, or nobody, may be on the usual one."""
    with Listener(conduct) as server:
        url = f"https://us1-merry-cat-{redis.port}.upstash.io"
        result = see(worker(server.port, redis.trust, redis.token, url=url), timedelta(seconds=2))
    assert (result.state, met(result)) == (LayerState.PASSED, LEGACY_PORT)


@pytest.mark.parametrize(
    "answer",
    [
        b"-ERR unknown command\r\n",
        b"-DENIED Redis is running in protected mode because protected mode is enabled\r\n",
        http(400, "{}"),
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
def test_a_server_without_tls_is_told(trust: ssl.SSLContext, answer: bytes) -> None:
    """A plain redis:// port is not blocked, it is another one than it should be."""
    with Listener(say(answer)) as server:
        result = see(worker(server.port, trust, "token"))
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.TLS_FAILED)
    assert met(result) == NOT_ENCRYPTED | {Fact.NOT_TLS}
    assert ("speaks Redis unencrypted" in result.detail) is answer.startswith(b"-")


@pytest.fixture
def full(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A real Redis with no place for another client; `request.param` says whether it speaks TLS."""
    with (
        redis_server(tmp_path, is_encrypted=request.param, most_clients=1) as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        if not request.param:
            client.sendall(b"PING\r\n")  # is answered once the client counts
            client.recv(64)
        yield server


@pytest.mark.parametrize("full", [False], indirect=True)
def test_a_real_redis_that_is_full_says_so_without_tls(full: RedisServer) -> None:
    """It answers the handshake with its error: neither a blocked port nor a question of certificates."""
    result = see(worker(full.port, full.trust, full.token))
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.TOO_MANY_CONNECTIONS)
    assert met(result) == NOTHING
    assert result.detail == f"port {full.port}: ERR max number of clients reached"


@pytest.mark.parametrize("full", [True], indirect=True)
def test_a_real_redis_that_is_full_hangs_up_on_its_port_with_tls(full: RedisServer) -> None:
    """It can say nothing before the handshake, so it closes the connection: that stood, and is not blocked."""
    result = see(worker(full.port, full.trust, full.token))
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.CONNECTION_LOST)
    assert met(result) == NOT_ENCRYPTED


def test_a_real_redis_without_tls_is_told(tmp_path: Path) -> None:
    """It waits for the end of a line that it does not find in a handshake, and is asked on another connection."""
    with redis_server(tmp_path, is_encrypted=False) as server:
        result = see(worker(server.port, server.trust, server.token))
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.TLS_FAILED)
    assert result.detail == f"port {server.port}: the port speaks Redis unencrypted"
    assert met(result) == NOT_ENCRYPTED | {Fact.NOT_TLS}


def test_nothing_is_said_to_a_server_whose_certificate_is_not_trusted(
    trust: ssl.SSLContext, tls_server: ssl.SSLContext
) -> None:
    """The token goes to nobody but the host in the URL: neither an unknown authority nor another name will do."""
    heard: list[bytes] = []
    with Listener(lambda connection: heard.append(connection.recv(4096)), tls=tls_server) as server:
        unknown = see(worker(server.port, ssl.create_default_context(), "token"))
        misnamed = see(worker(server.port, trust, "token", url="https://other.example"))
    assert (unknown.outcome, misnamed.outcome) == (Outcome.TLS_FAILED, Outcome.TLS_FAILED)
    assert not any(heard)


def test_a_resolver_that_hangs_ends_at_the_deadline(trust: ssl.SSLContext) -> None:
    """A lookup of the loop's own would keep a thread of its pool, and with it the end of the process."""
    released = threading.Event()

    def stuck(_host: str, _port: int) -> Sequence[AddressInfo]:
        released.wait(30)
        return []

    begun = monotonic()
    result = see(worker(6379, trust, "token", url="https://merry-cat.upstash.io", lookup=stuck), SHORT)
    released.set()
    assert monotonic() - begun < 10
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.DNS_FAILED)


def test_the_trust_of_the_environment_is_honoured(
    redis: RedisServer,
    authority: trustme.CA,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`SSL_CERT_FILE` names the authorities, as it does for the worker's own client."""

    def check() -> LayerResult:
        url = "https://localhost"
        return see(WorkerProbe(url=url, token=redis.token, port=redis.port, scrub=Scrubber([])))

    assert check().outcome is Outcome.TLS_FAILED
    file = tmp_path_factory.mktemp("trust") / "ca.pem"
    authority.cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert check().state is LayerState.PASSED


@pytest.mark.parametrize("token", ["ab/cd-of-the-token", "12/cd-of-the-token", "ab?password=cd-of-the-token"])
def test_a_token_that_cuts_the_url_short_sends_nothing_anywhere(redis: RedisServer, token: str) -> None:
    """A client would turn to the host `default`, or to this very machine."""

    def nowhere(host: str, _port: int) -> Sequence[AddressInfo]:
        raise AssertionError(f"{host} was looked up")

    result = see(worker(redis.port, redis.trust, token, url="https://merry-cat.upstash.io", lookup=nowhere))
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.TOKEN_MALFORMED)
    assert "of-the-token" not in repr(result)


@pytest.mark.parametrize(("url", "token"), [("", "token"), ("https://127.0.0.1", " \n")])
def test_without_a_url_or_a_token_there_is_nothing_to_try(trust: ssl.SSLContext, url: str, token: str) -> None:
    """The first layer has said it already."""
    result = see(worker(1, trust, token, url=url))
    assert (result.state, result.outcome) == (LayerState.SKIPPED, None)
    assert result.detail


def test_no_command_but_auth_and_ping_is_sent(trust: ssl.SSLContext, tls_server: ssl.SSLContext) -> None:
    """These two are not billed. Clients tell their name and version too, which may be."""
    heard: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        for answer in (OK, b"+PONG\r\n"):
            heard.append(connection.recv(65536))
            connection.sendall(answer)
        heard.append(connection.recv(65536))

    with Listener(listen, tls=tls_server) as server:
        ping(worker(server.port, trust, "token"))
    login, command, *rest = heard
    assert login == b"*3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$5\r\ntoken\r\n"
    assert command.startswith(b"*2\r\n$4\r\nPING\r\n$32\r\n")
    assert not any(rest)


@pytest.mark.parametrize(
    "telling",
    [
        b"-ERR you said AUTH default %s\r\n",
        b"-WRONGPASS %s is wrong\r\n",
        b"%s\r\n",
        b"+%s\r\n",
        b"$%s\r\n",
        b"$9\r\n%s",
    ],
)
def test_no_check_tells_the_token_when_the_other_side_does(
    trust: ssl.SSLContext, tls_server: ssl.SSLContext, telling: bytes
) -> None:
    """Neither the layer nor the observation, whichever way it is said."""
    token = "AVerySecretToken-of_the_Test"
    line = telling.replace(b"%s", token.encode())
    with Listener(reply(line), tls=tls_server) as server:
        probe = worker(server.port, trust, token)
        said = repr(see(probe, SHORT)) + repr(ping(probe, SHORT))
    assert not any(token[start : start + 8] in said for start in range(len(token) - 8))
