"""A connection as checks need it: lookup, TCP, when its bytes left and arrived, and what its errors are called.

Between the arrival of an answer and our reading of it lies whatever else this process does at that moment: other
checks, a page being drawn, a thread that holds the interpreter. None of that is the database's latency, so the
moment of arrival is the one that the kernel noted (docs/decisions/0013-the-kernels-clock.md).
"""

from __future__ import annotations

import asyncio
import atexit
import errno
import ipaddress
import re
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache, partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar, cast

from aiohappyeyeballs import start_connection

from monitor.checks.credentials import is_private_name
from monitor.checks.observation import Fact, Phases, ProbeFault
from monitor.lib.process import OUR_LIMITS, exhausted_limit, own_limit
from monitor.lib.threads import on_daemon_thread

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_Result = TypeVar("_Result")
AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]
Lookup = Callable[[str, int], Sequence[AddressInfo]]
# What the kernel returns beside the bytes: level, type, data.
Ancillary = Sequence[tuple[int, int, bytes]]

# A check that comes later than this asks again: the resolver may have recovered meanwhile.
_SHARE_FOR_SECONDS = 1.0
_MOST_THREADS = 256
_NEXT_ADDRESS_AFTER_SECONDS = 0.25
# Linux, asm-generic/socket.h; Python has no name for it. Where the number is unknown, no stamp comes.
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
_HEAD_BYTES = 64
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0

_NOT_FOUND = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
# Of several addresses the one that got furthest tells most; IPv6 without a route tells little.
_CONNECTION_FAULTS: tuple[tuple[set[int], ProbeFault, str], ...] = (
    ({errno.ECONNREFUSED}, ProbeFault.REFUSED, ""),
    ({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE}, ProbeFault.LOST, "reset at once"),
    ({errno.ETIMEDOUT}, ProbeFault.CONNECT_TIMEOUT, "the system gave up"),
    ({errno.EACCES, errno.EPERM}, ProbeFault.UNREACHABLE, "this machine does not permit it"),
    ({errno.EHOSTUNREACH, errno.EHOSTDOWN}, ProbeFault.UNREACHABLE, "no route to the host"),
    # ip-route(8), "blackhole": what the kernel answers for such a route.
    ({errno.EINVAL}, ProbeFault.UNREACHABLE, "a route of this machine drops what goes there"),
    ({errno.EADDRNOTAVAIL}, ProbeFault.UNREACHABLE, "this machine has no address of that kind"),
    ({errno.ENETUNREACH, errno.ENETDOWN}, ProbeFault.UNREACHABLE, ""),
)
# OpenSSL's reasons where its own versions and the other side's have none in common.
_OTHER_VERSIONS = {"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL"}
CLOSED_EARLY = "closed before the answer was complete"
NOT_TLS = "the port answers unencrypted"
REDIS_IN_PLAIN = "the port speaks Redis unencrypted"
CUT_DURING_HANDSHAKE = "cut during the TLS handshake"
_LONG_HANDSHAKE_SECONDS = 1.0
_REDIS_ANSWER_BYTES = 64
_ERRNO = re.compile(r"\[Errno (\d+)\]")
_LOOKUP_FAILURES = {
    socket.EAI_AGAIN: "the resolver gives no answer now",
    socket.EAI_FAIL: "the resolver says that it cannot",
}
# OpenSSL's reasons for bytes that are no TLS, by version.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "BAD_RECORD_TYPE")
# X509_V_ERR_…: has expired, is not yet valid, or a field of its time cannot be read; names an other host, mail or
# address. Everything else is a chain that does not end at a certificate this machine trusts.
_OUT_OF_DATE = (9, 10, 13, 14)
_OF_ANOTHER_NAME = (62, 63, 64)
_IT = re.compile(r"^certificate (?=has |is )")


class ProbeError(Exception):
    """A probe ended before a whole answer was there; `description` holds no secret and no host name.

    It is read behind the outcome's words, and empty where it would repeat them.
    """

    def __init__(self, fault: ProbeFault, description: str, *facts: Fact) -> None:
        super().__init__(description)
        self.fault = fault
        self.description = description
        self.facts = frozenset(facts)


class Stopwatch:
    """The moments of one check, in seconds of `perf_counter`; phases are their differences.

    `sinkhole` is the address of this very machine that a public name was found to lead to, if it does;
    `certificate_ends_at` is `None` without TLS.
    """

    def __init__(self) -> None:
        self.started = perf_counter()
        self.resolving: float | None = None
        self.resolved: float | None = None
        self.sinkhole = ""
        self.connected: float | None = None
        self.encrypting: float | None = None
        self.encrypted: float | None = None
        self.certificate_ends_at: datetime | None = None
        self.sent: float | None = None
        self.first_byte: float | None = None
        self.last_byte: float | None = None

    def error_at_deadline(self, timeout: timedelta) -> ProbeError:
        """What it means that the time, which was `timeout`, is up now."""
        within = f"within {round(timeout.total_seconds(), 2):g} s"
        if self.resolved is None:
            return ProbeError(ProbeFault.DNS_FAILED, f"the resolver did not answer {within}")
        if self.connected is None:
            return ProbeError(ProbeFault.CONNECT_TIMEOUT, f"the host did not answer {within}")
        if self.encrypting is not None and self.encrypted is None:
            return ProbeError(ProbeFault.TLS_TIMEOUT, f"not ended {within}")
        if self.first_byte is None:
            return ProbeError(ProbeFault.RESPONSE_TIMEOUT, f"connected, but no answer {within}")
        return ProbeError(ProbeFault.RESPONSE_TIMEOUT, f"the answer began, but was not complete {within}")

    def explain(self, error: ProbeError) -> ProbeError:
        """The error, with more to it where nothing could be sent since the name leads to this machine."""
        if not self.sinkhole or self.sent is not None:
            return error
        description = error.description
        if self.connected is None:
            description += ", and " if description else ""
            description += f"the name leads to {self.sinkhole}, which is this machine"
        return ProbeError(error.fault, description, Fact.NAME_FILTERED, *error.facts)

    def phases(self, *, complete: bool) -> Phases:
        """The phases in milliseconds; `read` only when the whole answer arrived."""
        return Phases(
            dns=_ms(self.resolving, self.resolved),
            connect=_ms(self.resolved, self.connected),
            tls=_ms(self.encrypting, self.encrypted),
            wait=_ms(self.sent, self.first_byte),
            read=_ms(self.first_byte, self.last_byte) if complete else None,
            total=_ms(self.started, self.last_byte if complete else perf_counter()),
        )


def _ms(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else max(0.0, (end - start) * 1000)


def system_lookup(host: str, port: int) -> Sequence[AddressInfo]:
    """Ask the system's resolver; blocks, raises `socket.gaierror`."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[return-value]  # the stubs allow more families


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lookup:
    """One lookup under way; `began` is in seconds of `perf_counter`."""

    began: float
    answer: asyncio.Task[Sequence[AddressInfo]]


class Resolver:
    """Looks names up; checks that come together share one lookup. Used from one event loop only.

    `getaddrinfo` cannot be cancelled and may block for half a minute, so each lookup has a daemon thread of its
    own: a stuck resolver holds up neither other checks nor the end of the process.
    """

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._under_way: dict[tuple[str, int], _Lookup] = {}
        self._threads = 0

    async def resolve(self, host: str, port: int) -> Sequence[AddressInfo]:
        """Return the addresses of a host; raises `socket.gaierror`. Cancelling leaves the lookup to itself."""
        with suppress(OSError):
            # An address needs no resolver, and no thread.
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)  # type: ignore[return-value]  # the stubs allow more families
        lookup = self._under_way.get((host, port))
        stale = lookup is None or perf_counter() - lookup.began > _SHARE_FOR_SECONDS
        if lookup is None or (stale and self._threads < _MOST_THREADS):
            lookup = self._start(host, port)
        return await asyncio.shield(lookup.answer)

    def _start(self, host: str, port: int) -> _Lookup:
        answer = asyncio.create_task(on_daemon_thread(partial(self._look_up, host, port), name="lookup"))
        lookup = _Lookup(began=perf_counter(), answer=answer)
        self._under_way[host, port] = lookup
        self._threads += 1
        answer.add_done_callback(partial(self._forget, (host, port)))
        return lookup

    def _look_up(self, host: str, port: int) -> Sequence[AddressInfo]:
        try:
            return self._lookup(host, port)
        except UnicodeError:
            raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None

    def _forget(self, name: tuple[str, int], answer: asyncio.Task[Sequence[AddressInfo]]) -> None:
        self._threads -= 1
        lookup = self._under_way.get(name)
        if lookup is not None and lookup.answer is answer:
            del self._under_way[name]
        if not answer.cancelled():
            answer.exception()  # asked for, since nobody may be waiting any more, which asyncio would log


class StampedSocket(socket.socket):
    """`sent_at` and `arrived_at` are seconds of `perf_counter`, and `None` until bytes went that way.

    `head` is what arrived first, as it came: below TLS, so that it shows what answered a handshake without TLS.
    asyncio's selector loop reads and writes through `recv`, `recv_into` and `send`; a loop that does not leaves
    all three as they are. Made as any socket is.
    """

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        super().__init__(family, type, proto, fileno)
        self.sent_at: float | None = None
        self.arrived_at: float | None = None
        self.head = b""
        with suppress(OSError):  # another system than Linux
            self.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        # Before and not after: a thread may have the interpreter when the call comes back.
        self.sent_at = perf_counter()
        return super().send(data, flags)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data, ancillary, *_ = self.recvmsg(size, _ANCILLARY_BYTES, flags)
        self._note(ancillary, data)
        return data

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        view = memoryview(buffer)
        count, ancillary, *_ = self.recvmsg_into([view[:nbytes] if nbytes else view], _ANCILLARY_BYTES, flags)
        self._note(ancillary, view[:count])
        return count

    def _note(self, ancillary: Ancillary, data: bytes | memoryview) -> None:
        self.head += data[: _HEAD_BYTES - len(self.head)]
        self.arrived_at = arrival(
            ancillary, now=perf_counter(), now_ns=time.time_ns(), not_before=self.sent_at or 0.0
        )


@cache
def keep_stamping() -> socket.socket | None:
    """Have the kernel stamp arriving packets from now until this process ends; `None` where it cannot.

    It stamps only while some socket of the system asks for it, and begins and ends from a work queue: some
    milliseconds after the first one asked, tens of them on a busy machine. A packet that arrives before that has
    no stamp. Each check has a connection of its own, so without a socket that stays open most checks would be the
    first. It must be an internet socket: for a Unix one the kernel takes no stamps (net/core/sock.c,
    sock_needs_netstamp).
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    except OSError:  # another system than Linux
        sock.close()
        return None
    atexit.register(sock.close)
    return sock


def arrival(ancillary: Ancillary, *, now: float, now_ns: int, not_before: float) -> float:
    """The moment the kernel noted, on the scale of `now`; `now` itself where it noted none.

    The kernel goes by the time of day, `now_ns`. A stamp from before `not_before` or from after `now` comes of a
    clock that was set in between, and is not believed.
    """
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            moment: float = now - (now_ns - seconds * 1_000_000_000 - nanoseconds) / 1e9
            if not_before <= moment <= now:
                return moment
    return now


async def connect(addresses: Sequence[AddressInfo]) -> StampedSocket:
    """Connect to the first address that answers; a later one is tried soon. Raises `OSError`."""
    sock = await start_connection(
        addresses,
        happy_eyeballs_delay=_NEXT_ADDRESS_AFTER_SECONDS,
        socket_factory=lambda info: StampedSocket(*info[:3]),
    )
    return cast("StampedSocket", sock)


async def look_up_and_connect(resolver: Resolver, host: str, port: int, stopwatch: Stopwatch) -> StampedSocket:
    """A connection to the host, with the moments noted on the stopwatch; raises `ProbeError`."""
    stopwatch.resolving = perf_counter()
    try:
        addresses = await resolver.resolve(host, port)
    except OSError as error:  # socket.gaierror, or what the system said to the resolver
        raise lookup_error(error) from error
    stopwatch.resolved = perf_counter()
    stopwatch.sinkhole = sinkhole(host, addresses)
    try:
        sock = await connect(addresses)
    except OSError as error:
        if _numbers(error) == {errno.EADDRNOTAVAIL} and all(info[0] == socket.AF_INET for info in addresses):
            # Of IPv6 it may mean that there is no address to send from; for IPv4 that is another error.
            raise ProbeError(ProbeFault.OURS, "this machine has no port left to connect from") from error
        raise connection_error(error) from error
    stopwatch.connected = perf_counter()
    return sock


async def unless_in_plain(handshake: asyncio.Future[_Result], peer: tuple[Any, ...]) -> _Result:
    """The end of the handshake; raises `ProbeError` where it hangs since a Redis without TLS listens there.

    That one waits for the end of a line and looks for it up to the first zero byte, which comes early in a
    handshake (measured with 7.0). So it is asked on a connection of its own, without a secret, once the handshake
    takes unusually long.
    """
    asking = asyncio.ensure_future(_is_redis_in_plain(peer))
    both: set[asyncio.Future[Any]] = {handshake, asking}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not handshake.done() and asking.result():
            raise ProbeError(ProbeFault.TLS, REDIS_IN_PLAIN, Fact.NOT_TLS)
        return await handshake
    finally:
        asking.cancel()
        handshake.cancel()


async def _is_redis_in_plain(peer: tuple[Any, ...]) -> bool:
    await asyncio.sleep(_LONG_HANDSHAKE_SECONDS)
    try:
        reader, writer = await asyncio.open_connection(*peer[:2])
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        return (await reader.read(_REDIS_ANSWER_BYTES)).startswith((b"+PONG", b"-"))
    except OSError:
        return False
    finally:
        writer.transport.abort()


def certificate_end(session: ssl.SSLObject) -> datetime | None:
    """Until when the other side's certificate is valid; `None` where none was asked for or it cannot be read."""
    not_after = (session.getpeercert() or {}).get("notAfter")
    return _moment(not_after) if isinstance(not_after, str) else None


@lru_cache
def _moment(not_after: str) -> datetime | None:
    # Reading the text costs more than asking for it, and a host shows the same one for weeks.
    with suppress(ValueError, OverflowError):
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(not_after), UTC)
    return None


def lookup_error(error: OSError) -> ProbeError:
    """The fault of a lookup: the name does not exist, the resolver failed, or it could not open a file here."""
    limit = own_limit(error) or exhausted_limit()
    if limit is not None:
        return ProbeError(ProbeFault.OURS, limit)
    if error.errno in _NOT_FOUND:
        return ProbeError(ProbeFault.DNS_NOT_FOUND, "")
    return ProbeError(ProbeFault.DNS_FAILED, _LOOKUP_FAILURES.get(error.errno or 0) or _system_words(error))


def sinkhole(host: str, addresses: Sequence[AddressInfo]) -> str:
    """The address of this very machine to which a public name leads and nowhere else; empty for any other name.

    Filters of names answer with `0.0.0.0`, `127.0.0.1` or their likes in IPv6 for what they block.
    """
    found = [ipaddress.ip_address(address[4][0].partition("%")[0]) for address in addresses]
    plain = [address.ipv4_mapped or address if address.version == 6 else address for address in found]
    if not plain or not all(address.is_loopback or address.is_unspecified for address in plain):
        return ""
    # A hosts file or a network of one's own leads such a name to this very machine for good reason.
    return "" if is_address(host.removesuffix(".")) or is_private_name(host) else str(plain[0])


def is_address(host: str) -> bool:
    """True for an IP address, which no resolver is asked for."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def connection_error(error: OSError) -> ProbeError:
    """The fault of a connection that was never made, over all addresses that were tried."""
    codes = _numbers(error)
    for code in codes & OUR_LIMITS.keys():
        return ProbeError(ProbeFault.OURS, OUR_LIMITS[code])
    for known, fault, description in _CONNECTION_FAULTS:
        if codes & known:
            return ProbeError(fault, description)
    return ProbeError(ProbeFault.UNREACHABLE, _system_words(error))


def _numbers(error: OSError) -> set[int]:
    # With several addresses the error has no number of its own; those of the attempts are in its text.
    return {error.errno} if error.errno is not None else {int(code) for code in _ERRNO.findall(str(error))}


def lost_connection_error(error: Exception, description: str = "cut before the answer was complete") -> ProbeError:
    """The fault of a connection that broke off, or whose TLS handshake did not end."""
    if limit := own_limit(error):  # asyncio ends a connection whose bytes it has no memory for
        return ProbeError(ProbeFault.OURS, limit)
    if isinstance(error, ssl.SSLError):
        return _tls_error(error)
    if isinstance(error, OSError) and error.errno == errno.ECONNRESET:
        description = description.replace("cut", "reset", 1)
    return ProbeError(ProbeFault.LOST, description)


def _tls_error(error: ssl.SSLError) -> ProbeError:
    """The fault of an encryption that failed, with OpenSSL's reason."""
    if isinstance(error, ssl.SSLCertVerificationError):
        fact = _certificate_fact(error.verify_code)
        # That text names the host, which pages must not show.
        is_of_another = fact is Fact.CERTIFICATE_OF_ANOTHER_NAME
        reason = "it is for another name" if is_of_another else _IT.sub("it ", error.verify_message)
        return ProbeError(ProbeFault.TLS, f"certificate refused: {reason}", fact)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return ProbeError(ProbeFault.LOST, CUT_DURING_HANDSHAKE)
    if error.reason in _NOT_TLS:
        return ProbeError(ProbeFault.TLS, NOT_TLS, Fact.NOT_TLS)
    if error.reason in _OTHER_VERSIONS:
        return ProbeError(ProbeFault.TLS, "it offers no version of TLS that is still in use (1.2 and newer)")
    return ProbeError(ProbeFault.TLS, (error.reason or "").replace("_", " ").lower())


def _certificate_fact(code: int) -> Fact:
    if code in _OUT_OF_DATE:
        return Fact.CERTIFICATE_OUT_OF_DATE
    return Fact.CERTIFICATE_OF_ANOTHER_NAME if code in _OF_ANOTHER_NAME else Fact.CERTIFICATE_UNTRUSTED


def _system_words(error: OSError) -> str:
    """The system's own words for an error, which hold neither host nor secret."""
    return (error.strerror or type(error).__name__).lower()
