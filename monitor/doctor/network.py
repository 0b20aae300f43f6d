"""The layers below HTTP, a function each: lookup, connection, encryption. None of them raises."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

from aiohappyeyeballs import start_connection

from monitor.checks.classify import classify
from monitor.checks.connection import AddressInfo, ProbeError, Resolver, Stopwatch, connection_error, lookup_error
from monitor.checks.observation import Fact, Observation, ProbeFault
from monitor.checks.rest import Backend
from monitor.diagnosis.layers import Layer, LayerResult, LayerState
from monitor.lib.text import one_line

ENDS_SOON = timedelta(days=14)

_FAMILIES = {int(socket.AF_INET): "IPv4", int(socket.AF_INET6): "IPv6"}
_MOST_ADDRESSES_NAMED = 4
_MOST_NAMES = 2
_NAME_LENGTH = 60
# Once one address accepted, the others get this much longer: a family whose packets are dropped must not cost the
# whole deadline.
_GRACE_SECONDS = 1.0
# Of several failures the one that got furthest tells most: a refusal came from the host itself.
_FURTHEST = (ProbeFault.REFUSED, ProbeFault.LOST, ProbeFault.CONNECT_TIMEOUT, ProbeFault.UNREACHABLE)
_WORDS = {
    ProbeFault.REFUSED: "refused",
    ProbeFault.LOST: "was reset",
    ProbeFault.CONNECT_TIMEOUT: "did not answer",
    ProbeFault.UNREACHABLE: "has no route",
}


async def examine_lookup(
    host: str, port: int, *, timeout: timedelta, resolver: Resolver
) -> tuple[LayerResult, tuple[AddressInfo, ...]]:
    """Which addresses the host has; they are for `examine_connection`."""
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            found = await resolver.resolve(host, port)
    except TimeoutError:
        late = ProbeError(ProbeFault.DNS_FAILED, f"the resolver did not answer within {_seconds(timeout)}")
        return _failed(Layer.LOOKUP, late), ()
    except socket.gaierror as error:
        return _failed(Layer.LOOKUP, lookup_error(error)), ()
    addresses = tuple(dict.fromkeys(found))
    if not addresses:
        nothing = ProbeError(ProbeFault.DNS_NOT_FOUND, "the host name has no address")
        return _failed(Layer.LOOKUP, nothing), ()
    words = f"{host} is an address itself" if _is_address(host) else _format_addresses(addresses)
    return _passed(Layer.LOOKUP, words), addresses


async def examine_connection(
    addresses: Sequence[AddressInfo], *, timeout: timedelta
) -> tuple[LayerResult, tuple[AddressInfo, ...]]:
    """Which addresses accept a connection, tried all at once; those that do are for `examine_encryption`.

    Passed when at least one does.
    """
    errors = await _try_all(addresses, timeout.total_seconds())
    accepting = tuple(address for address in addresses if address not in errors)
    words = _format_connections(addresses, errors)
    if accepting:
        return _passed(Layer.CONNECTION, words), accepting
    telling = min((error.fault for error in errors.values()), key=_FURTHEST.index)
    return _failed(Layer.CONNECTION, ProbeError(telling, words)), ()


async def examine_encryption(
    host: str,
    addresses: Sequence[AddressInfo],
    *,
    timeout: timedelta,
    tls: ssl.SSLContext,
    now: datetime,
) -> LayerResult:
    """Whether the host has a certificate for its name that `tls` trusts, and until when it is valid."""
    watch = Stopwatch()
    backend = Backend(Resolver(lambda _host, _port: addresses), watch)
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            stream = await backend.connect_tcp(host, addresses[0][4][1])
            encrypted = await stream.start_tls(tls, server_hostname=host)
        session: ssl.SSLObject = encrypted.get_extra_info("ssl_object")
    except TimeoutError:
        return _failed(Layer.ENCRYPTION, watch.error_at_deadline(timeout))
    except ProbeError as error:
        return _failed(Layer.ENCRYPTION, error)
    finally:
        backend.abort()
    certificate = session.getpeercert() or {}
    left = _end_of(certificate) - now
    words = (
        f"issued by {_issuer(certificate)} for {_names(certificate)}",
        f"{left.days} day{'' if left.days == 1 else 's'} left",
        (session.version() or "an unknown protocol").replace("TLSv", "TLS "),
    )
    facts = frozenset({Fact.CERTIFICATE_ENDS_SOON} if left < ENDS_SOON else ())
    return _passed(Layer.ENCRYPTION, " · ".join(words), facts)


def _passed(layer: Layer, detail: str, facts: frozenset[Fact] = frozenset()) -> LayerResult:
    return LayerResult(layer=layer, state=LayerState.PASSED, detail=detail, facts=facts)


def _failed(layer: Layer, error: ProbeError) -> LayerResult:
    result = classify(Observation(fault=error.fault, description=error.description), slow=None)
    return LayerResult(layer=layer, state=LayerState.FAILED, detail=result.detail, outcome=result.outcome)


def _seconds(timeout: timedelta) -> str:
    return f"{timeout.total_seconds():g} s"


async def _try_all(addresses: Sequence[AddressInfo], seconds: float) -> dict[AddressInfo, ProbeError]:
    """The addresses that did not accept a connection in time, and why."""
    tries = {address: asyncio.create_task(_try(address)) for address in addresses}
    waiting = set(tries.values())
    end = perf_counter() + seconds
    try:
        while waiting and perf_counter() < end:
            done, waiting = await asyncio.wait(
                waiting, timeout=end - perf_counter(), return_when=asyncio.FIRST_COMPLETED
            )
            if any(task.result() is None for task in done):
                end = min(end, perf_counter() + _GRACE_SECONDS)
    finally:
        for task in waiting:
            task.cancel()
    late = ProbeError(ProbeFault.CONNECT_TIMEOUT, "no connection before the deadline")
    errors = {address: late if task in waiting else task.result() for address, task in tries.items()}
    return {address: error for address, error in errors.items() if error is not None}


async def _try(address: AddressInfo) -> ProbeError | None:
    try:
        sock = await start_connection([address])
    except OSError as error:
        return connection_error(error)
    sock.close()
    return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _family(address: AddressInfo) -> str:
    return _FAMILIES.get(int(address[0]), "another family")


def _format_addresses(addresses: Sequence[AddressInfo]) -> str:
    """`2 IPv4 (10.0.0.1, 10.0.0.2), no IPv6`."""
    parts = []
    for family in _FAMILIES.values():
        of_family = [str(address[4][0]) for address in addresses if _family(address) == family]
        named = of_family[:_MOST_ADDRESSES_NAMED] + ["…"] * (len(of_family) > _MOST_ADDRESSES_NAMED)
        parts.append(f"{len(of_family)} {family} ({', '.join(named)})" if of_family else f"no {family}")
    return ", ".join(parts)


def _format_connections(addresses: Sequence[AddressInfo], errors: Mapping[AddressInfo, ProbeError]) -> str:
    """`2 of 3 addresses: IPv6 has no route`; for a single address that failed, its own error."""
    if len(addresses) == 1:
        return next((error.description for error in errors.values()), "1 of 1 address")
    failures = [
        _format_failure(family, [address for address in addresses if _family(address) == family], errors)
        for family in dict.fromkeys(map(_family, addresses))
    ]
    failed = ", ".join(filter(None, failures))
    accepting = len(addresses) - len(errors)
    return f"{accepting or 'none'} of {len(addresses)} addresses" + (f": {failed}" if failed else "")


def _format_failure(
    family: str, addresses: Sequence[AddressInfo], errors: Mapping[AddressInfo, ProbeError]
) -> str:
    faults = [errors[address].fault for address in addresses if address in errors]
    if not faults:
        return ""
    words = " or ".join(dict.fromkeys(_WORDS[fault] for fault in faults))
    return f"{family} {words}" if len(faults) == len(addresses) else f"{len(faults)} of {family} {words}"


def _end_of(certificate: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)


def _issuer(certificate: Mapping[str, Any]) -> str:
    fields = {name: value for group in certificate.get("issuer", ()) for name, value in group}
    known = [fields[name] for name in ("organizationName", "commonName") if name in fields]
    return one_line(" ".join(known), _NAME_LENGTH) or "nobody"


def _names(certificate: Mapping[str, Any]) -> str:
    names = [value for _, value in certificate.get("subjectAltName", ())]
    more = len(names) - _MOST_NAMES
    shown = ", ".join(one_line(name, _NAME_LENGTH) for name in names[:_MOST_NAMES])
    return shown + (f" and {more} more" if more > 0 else "")
