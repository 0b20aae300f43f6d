"""Lookup, connection and encryption on loopback: real sockets, real TLS, resolvers that answer as a test wants."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest
import trustme

from monitor.checks.connection import AddressInfo, Resolver
from monitor.checks.observation import Fact, Outcome
from monitor.diagnosis.verdicts import Layer, LayerResult, LayerState
from monitor.doctor.network import examine_connection, examine_encryption, examine_lookup
from tests.checks.listener import (
    Conduct,
    Listener,
    close_at_once,
    hang,
    http,
    port_that_drops,
    port_that_refuses,
    say,
)
from tests.checks.redis_server import redis_server

HOST = "merry-cat-30690.upstash.io"
NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
SHORT = timedelta(seconds=0.3)
LONG = timedelta(seconds=20)
IPV4, IPV6 = socket.AF_INET, socket.AF_INET6
# The kernel refuses a link-local address without an interface before anything is sent.
NO_ROUTE = (IPV6, socket.SOCK_STREAM, 6, "", ("fe80::1", 443, 0, 0))


def address(port: int, host: str = "127.0.0.1") -> AddressInfo:
    if ":" in host:
        return (IPV6, socket.SOCK_STREAM, 6, "", (host, port, 0, 0))
    return (IPV4, socket.SOCK_STREAM, 6, "", (host, port))


def looked_up(lookup: Callable[[str, int], Sequence[AddressInfo]], host: str = HOST) -> tuple[LayerResult, int]:
    result, addresses = asyncio.run(examine_lookup(host, 443, timeout=LONG, resolver=Resolver(lookup)))
    return result, len(addresses)


def connected(*addresses: AddressInfo, timeout: timedelta = LONG) -> tuple[LayerResult, tuple[AddressInfo, ...]]:
    return asyncio.run(examine_connection(addresses, timeout=timeout))


@pytest.mark.parametrize(
    ("found", "detail"),
    [
        ([address(443, "10.0.0.1")], "1 IPv4 (10.0.0.1), no IPv6"),
        ([address(443, "2001:db8::1")], "no IPv4, 1 IPv6 (2001:db8::1)"),
        (
            [address(443, "2001:db8::1"), address(443, "10.0.0.1"), address(443, "10.0.0.2")],
            "2 IPv4 (10.0.0.1, 10.0.0.2), 1 IPv6 (2001:db8::1)",
        ),
        ([address(443, "10.0.0.1")] * 3, "1 IPv4 (10.0.0.1), no IPv6"),
        (
            [address(443, f"10.0.0.{last}") for last in range(1, 7)],
            "6 IPv4 (10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, …), no IPv6",
        ),
    ],
)
def test_a_lookup_shows_the_addresses_of_each_family(found: list[AddressInfo], detail: str) -> None:
    """A host without IPv4 explains much on a network without IPv6."""
    result, count = looked_up(lambda _host, _port: found)
    assert (result.layer, result.state, result.detail, result.outcome) == (
        Layer.LOOKUP,
        LayerState.PASSED,
        detail,
        None,
    )
    assert count == len(set(found))


@pytest.mark.parametrize("host", [HOST, "merry-cat.kv.vercel-storage.com", "redis.example.com"])
@pytest.mark.parametrize("sunk", [["0.0.0.0"], ["127.0.0.1"], ["127.0.1.1"], ["::"], ["::1"], ["0.0.0.0", "::"]])
def test_a_public_name_that_leads_to_this_machine_was_filtered(host: str, sunk: list[str]) -> None:
    """The lookup worked, so the layer passes; what cannot be reached afterwards is explained by the fact."""
    result, count = looked_up(lambda _host, _port: [address(443, each) for each in sunk], host)
    assert (result.state, result.outcome, count) == (LayerState.PASSED, None, len(sunk))
    assert result.facts == frozenset({Fact.NAME_FILTERED})
    assert result.detail.endswith(": this machine, and nowhere else")


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("localhost", ["127.0.0.1", "::1"]),
        ("srh", ["127.0.0.1"]),
        ("redis.localhost", ["127.0.0.1"]),
        ("redis.internal", ["127.0.0.1"]),
        ("127.0.0.1", ["127.0.0.1"]),
        (HOST, ["127.0.0.1", "10.0.0.1"]),
        (HOST, ["10.0.0.1"]),
        (HOST, ["fd00::1"]),
    ],
)
def test_a_name_of_this_machines_own_is_not_called_filtered(host: str, found: list[str]) -> None:
    """It may lead here for good reason; and one address elsewhere shows that nobody sank the name."""
    result, _ = looked_up(lambda _host, _port: [address(443, each) for each in found], host)
    assert (result.state, result.facts) == (LayerState.PASSED, frozenset())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_is_not_looked_up(host: str) -> None:
    """The resolver has no part in it, which the detail says."""

    def nobody(_host: str, _port: int) -> Sequence[AddressInfo]:
        raise AssertionError("an address was asked of the resolver")

    result, count = looked_up(nobody, host)
    assert (result.state, result.detail, count) == (LayerState.PASSED, f"{host} is an address itself", 1)


@pytest.mark.parametrize(
    ("error", "outcome", "detail"),
    [
        (socket.gaierror(socket.EAI_NONAME, "?"), Outcome.DNS_NOT_FOUND, ""),
        (socket.gaierror(socket.EAI_NODATA, "?"), Outcome.DNS_NOT_FOUND, ""),
        (
            socket.gaierror(socket.EAI_AGAIN, "Try again"),
            Outcome.DNS_FAILED,
            "the resolver gives no answer now",
        ),
    ],
)
def test_a_lookup_that_fails_distinguishes_name_and_resolver(
    error: socket.gaierror, outcome: Outcome, detail: str
) -> None:
    """A name that does not exist is a matter of the URL; a resolver that fails is one of our own network."""

    def fail(_host: str, _port: int) -> Sequence[AddressInfo]:
        raise error

    result, count = looked_up(fail)
    assert (result.state, result.outcome, result.detail, count) == (LayerState.FAILED, outcome, detail, 0)


def test_a_name_without_an_address_does_not_exist() -> None:
    """An empty answer without an error is one as well."""
    result, _ = looked_up(lambda _host, _port: [])
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.DNS_NOT_FOUND)


@pytest.mark.faults("a resolver that lies, hangs, fails, knows no or thousands of addresses")
def test_a_resolver_that_hangs_is_left_at_the_deadline() -> None:
    """The lookup cannot be cancelled, but nobody waits for it."""
    released = threading.Event()

    def stuck(_host: str, _port: int) -> Sequence[AddressInfo]:
        released.wait(30)
        return []

    begun = monotonic()
    result, addresses = asyncio.run(examine_lookup(HOST, 443, timeout=SHORT, resolver=Resolver(stuck)))
    released.set()
    assert monotonic() - begun < 10
    assert (result.state, result.outcome, addresses) == (LayerState.FAILED, Outcome.DNS_FAILED, ())
    assert result.detail == "the resolver did not answer within 0.3 s"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_single_address_of_either_family_is_enough(host: str) -> None:
    """On a host or a network with one family only, the other is not missed."""
    with Listener(close_at_once, host=host) as server:
        result, standing = connected(address(server.port, host))
    assert (result.layer, result.state) == (Layer.CONNECTION, LayerState.PASSED)
    assert result.detail == f"1 of 1 address on port {server.port}"
    assert standing == (address(server.port, host),)


def test_a_connection_passes_with_one_family_and_shows_why_the_other_fails() -> None:
    """Railway has no outbound IPv6 unless it is turned on; checks work without it, but a person may wonder."""
    with Listener(close_at_once) as one, Listener(close_at_once) as two:
        result, standing = connected(NO_ROUTE, address(one.port), address(two.port))
    assert (result.state, result.detail) == (LayerState.PASSED, "2 of 3 addresses on port 443: IPv6 has no route")
    assert standing == (address(one.port), address(two.port))
    assert result.outcome is None


def test_all_addresses_are_tried_at_once() -> None:
    """One that hangs does not keep the others waiting, and costs little once another one accepted."""
    with port_that_drops() as port, Listener(close_at_once) as server:
        begun = monotonic()
        result, standing = connected(address(port), address(server.port), address(port_that_refuses()))
        assert monotonic() - begun < 10
    assert (result.state, standing) == (LayerState.PASSED, (address(server.port),))
    assert result.detail == f"1 of 3 addresses on port {port}: 2 of IPv4 did not answer or refused"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_refused_connection_fails(host: str) -> None:
    """The outcome says why; the detail names the port that was tried."""
    port = port_that_refuses(host)
    result, standing = connected(address(port, host))
    assert (result.state, result.outcome, standing) == (LayerState.FAILED, Outcome.CONNECTION_REFUSED, ())
    assert result.detail == f"none of 1 address on port {port}"


def test_a_port_that_drops_everything_fails_at_the_deadline() -> None:
    """That is what a firewall looks like from inside."""
    with port_that_drops() as port:
        begun = monotonic()
        result, _ = connected(address(port), timeout=SHORT)
        assert monotonic() - begun < 10
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.CONNECTION_TIMEOUT)
    assert result.detail == f"none of 1 address on port {port}"


def test_without_a_route_nothing_is_reached() -> None:
    """A host with IPv6 alone, seen from a network without it."""
    result, _ = connected(NO_ROUTE)
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.NETWORK_UNREACHABLE)


def test_of_several_failures_the_one_that_got_furthest_is_the_outcome() -> None:
    """A refusal came from the host itself; a missing route for another family matters little beside it."""
    result, _ = connected(NO_ROUTE, address(port_that_refuses()))
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.CONNECTION_REFUSED)
    assert result.detail == "none of 2 addresses on port 443: IPv6 has no route, IPv4 refused"


class Certificates:
    """An authority of our own, and a context that trusts it."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.trust = ssl.create_default_context()
        self.ca.configure_trust(self.trust)

    def server(
        self, *names: str, not_before: datetime | None = None, not_after: datetime | None = None
    ) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names, not_before=not_before, not_after=not_after).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


def encrypted(
    port: int, trust: ssl.SSLContext, *, at: str = "127.0.0.1", timeout: timedelta = LONG, now: datetime = NOW
) -> LayerResult:
    return asyncio.run(examine_encryption(HOST, [address(port, at)], timeout=timeout, tls=trust, now=now))


@pytest.mark.parametrize("at", ["127.0.0.1", "::1"])
def test_a_trusted_certificate_passes_and_is_described(certificates: Certificates, at: str) -> None:
    """Issuer, names, days left and protocol: what a person would ask openssl for."""
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
    with Listener(hang, tls=certificates.server(HOST, not_after=end), host=at) as listener:
        now = end - timedelta(days=61, hours=1)
        result = encrypted(listener.port, certificates.trust, at=at, now=now)
    assert (result.layer, result.state, result.facts) == (Layer.ENCRYPTION, LayerState.PASSED, frozenset())
    issuer, left, protocol = result.detail.split(" · ")
    assert issuer.startswith("issued by trustme")
    assert issuer.endswith(f" for {HOST}")
    assert left == "61 days left"
    assert protocol == "TLS 1.3"
    assert result.detail.isprintable()


def test_of_many_names_few_are_shown(certificates: Certificates) -> None:
    """One line stays one line."""
    names = (HOST, "*.upstash.io", "a.example", "b.example", "x" * 63 + ".example")
    with Listener(hang, tls=certificates.server(*names)) as listener:
        result = encrypted(listener.port, certificates.trust)
    assert f"for {HOST}, *.upstash.io and 3 more" in result.detail


@pytest.mark.parametrize(
    ("left", "detail", "soon"),
    [
        (timedelta(days=14, minutes=1), "14 days left", False),
        (timedelta(days=13, hours=23), "13 days left", True),
        (timedelta(days=1, minutes=1), "1 day left", True),
        (timedelta(hours=1), "0 days left", True),
    ],
)
def test_a_certificate_that_ends_soon_passes_with_a_fact(
    certificates: Certificates, left: timedelta, detail: str, soon: bool
) -> None:
    """Nothing is broken yet. The day that counts is handed in, so that the test's own clock has no part in it."""
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
    with Listener(hang, tls=certificates.server(HOST, not_after=end)) as listener:
        result = encrypted(listener.port, certificates.trust, now=end - left)
    assert result.state is LayerState.PASSED
    assert f" · {detail} · " in result.detail
    assert result.facts == ({Fact.CERTIFICATE_ENDS_SOON} if soon else set())


def test_a_certificate_of_somebody_else_fails(certificates: Certificates) -> None:
    """An intercepting proxy, or a missing authority."""
    with Listener(hang, tls=Certificates().server(HOST)) as listener:
        result = encrypted(listener.port, certificates.trust)
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.TLS_FAILED)
    assert result.detail.startswith("certificate refused: ")


def test_a_certificate_for_another_name_fails(certificates: Certificates) -> None:
    """The wrong host; the chain is fine."""
    with Listener(hang, tls=certificates.server("other.example")) as listener:
        result = encrypted(listener.port, certificates.trust)
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.TLS_FAILED)
    assert result.detail == "certificate refused: it is for another name"


@pytest.mark.faults("TLS that expires, stalls, is cut, is a stranger's")
def test_an_expired_certificate_fails(certificates: Certificates) -> None:
    """Theirs, or our own clock."""
    past = datetime(2020, 1, 1, tzinfo=UTC)
    server = certificates.server(HOST, not_before=past - timedelta(days=30), not_after=past)
    with Listener(hang, tls=server) as listener:
        result = encrypted(listener.port, certificates.trust)
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.TLS_FAILED)
    assert result.detail == "certificate refused: it has expired"


def test_a_server_that_does_not_speak_tls_fails(certificates: Certificates) -> None:
    """Plain HTTP on the port."""
    with Listener(say(http(400, "{}"))) as listener:
        result = encrypted(listener.port, certificates.trust)
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.TLS_FAILED)
    assert "the port answers unencrypted" in result.detail


def test_a_redis_without_tls_is_told_although_it_says_nothing(certificates: Certificates, tmp_path: Path) -> None:
    """Its own port in the REST URL: a real one waits for the end of a line, as if the handshake hung."""
    with redis_server(tmp_path, is_encrypted=False) as server:
        result = encrypted(server.port, certificates.trust)
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.TLS_FAILED)
    assert (result.detail, result.facts) == ("the port speaks Redis unencrypted", frozenset({Fact.NOT_TLS}))


@pytest.mark.parametrize("banner", [b"SSH-2.0-OpenSSH_9.6\r\n", b"-ERR max number of clients reached\r\n"])
def test_who_speaks_first_and_hangs_up_does_not_speak_tls(certificates: Certificates, banner: bytes) -> None:
    """An SSH server, a Redis at its limit: what came before the handshake tells it, however the cut is met."""
    with Listener(lambda connection: connection.sendall(banner)) as listener:
        results = [encrypted(listener.port, certificates.trust) for _ in range(5)]
    words = "the port speaks Redis unencrypted" if banner.startswith(b"-") else "the port answers unencrypted"
    assert {(result.outcome, result.detail) for result in results} == {(Outcome.TLS_FAILED, words)}


def test_a_connection_that_is_cut_in_the_handshake_is_lost(certificates: Certificates) -> None:
    """Some firewalls let the connection come about and cut it at the first byte."""
    with Listener(close_at_once) as listener:
        result = encrypted(listener.port, certificates.trust)
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.CONNECTION_LOST)


@pytest.mark.faults("TLS that expires, stalls, is cut, is a stranger's")
def test_a_handshake_that_hangs_ends_at_the_deadline(certificates: Certificates) -> None:
    """An overloaded edge accepts, and then nothing."""
    with Listener(hang) as listener:
        begun = monotonic()
        result = encrypted(listener.port, certificates.trust, timeout=SHORT)
        assert monotonic() - begun < 10
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.TLS_TIMEOUT)
    # What it took; a busy machine notices the deadline late.
    assert re.fullmatch(r"not ended within \d+(\.\d+)? s", result.detail)


def read_and_close(connection: socket.socket) -> None:
    """Take the first bytes, and close in good order."""
    connection.recv(4096)


Conducts = Callable[[ssl.SSLContext], tuple[Conduct, ssl.SSLContext | None]]
FAILING: dict[str, tuple[Conducts, Outcome, str]] = {
    "hangs": (lambda _tls: (hang, None), Outcome.TLS_TIMEOUT, "not ended within 1."),
    "is cut": (
        lambda _tls: (read_and_close, None),
        Outcome.CONNECTION_LOST,
        "cut during the TLS handshake",
    ),
    "is another": (
        lambda _tls: (hang, Certificates().server(HOST)),
        Outcome.TLS_FAILED,
        "certificate refused: ",
    ),
}


@pytest.mark.parametrize(("failing", "fact"), [("::1", Fact.IPV6_FAILS), ("127.0.0.1", Fact.IPV4_FAILS)])
@pytest.mark.parametrize("trouble", FAILING)
def test_each_family_is_encrypted_on_its_own(
    certificates: Certificates, trouble: str, failing: str, fact: Fact
) -> None:
    """A client that takes the one family fails and one that takes the other does not: both are told."""
    make, outcome, words = FAILING[trouble]
    conduct, tls = make(certificates.server(HOST))
    working = "127.0.0.1" if failing == "::1" else "::1"
    begun = monotonic()
    with (
        Listener(conduct, host=failing, tls=tls) as bad,
        Listener(hang, host=working, tls=certificates.server(HOST)) as good,
    ):
        both = [address(bad.port, failing), address(good.port, working)]
        result = asyncio.run(examine_encryption(HOST, both, timeout=LONG, tls=certificates.trust, now=NOW))
    assert monotonic() - begun < 10
    assert (result.state, result.outcome, result.facts) == (LayerState.PASSED, None, frozenset({fact}))
    first, second = ("IPv6", "IPv4") if failing == "::1" else ("IPv4", "IPv6")
    assert result.detail.startswith(f"{first}: {outcome.words}: {words}")
    assert f"; {second}: issued by trustme" in result.detail


@pytest.mark.parametrize("trouble", FAILING)
def test_where_neither_family_is_encrypted_none_is_blamed(certificates: Certificates, trouble: str) -> None:
    """The same trouble is told once, and the outcome is that of the one that got furthest."""
    make, outcome, words = FAILING[trouble]
    conduct, tls = make(certificates.server(HOST))
    with Listener(conduct, host="::1", tls=tls) as one, Listener(conduct, tls=tls) as other:
        both = [address(one.port, "::1"), address(other.port)]
        short = timedelta(seconds=1.5)
        result = asyncio.run(examine_encryption(HOST, both, timeout=short, tls=certificates.trust, now=NOW))
    assert (result.state, result.outcome) == (LayerState.FAILED, outcome)
    assert result.detail.startswith(words)
    assert not {Fact.IPV4_FAILS, Fact.IPV6_FAILS} & result.facts


def test_of_two_families_that_work_one_certificate_is_told(certificates: Certificates) -> None:
    """Usually it is the same one; where it is not, both are described."""
    tls = certificates.server(HOST)
    with Listener(hang, host="::1", tls=tls) as one, Listener(hang, tls=tls) as other:
        both = [address(one.port, "::1"), address(other.port)]
        result = asyncio.run(examine_encryption(HOST, both, timeout=LONG, tls=certificates.trust, now=NOW))
    assert (result.state, result.detail.count("issued by")) == (LayerState.PASSED, 1)


def test_an_address_that_went_away_in_between_fails(certificates: Certificates) -> None:
    """What accepted a moment ago need not accept now."""
    result = encrypted(port_that_refuses(), certificates.trust)
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.CONNECTION_REFUSED)
    with port_that_drops() as port:
        result = encrypted(port, certificates.trust, timeout=SHORT)
    assert result.outcome is Outcome.CONNECTION_TIMEOUT
    assert re.fullmatch(r"the host did not answer within \d+(\.\d+)? s", result.detail)
