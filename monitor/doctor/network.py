"""The layers below HTTP, a function each: lookup, connection, encryption. None of them raises."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Collection, Coroutine, Hashable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any, TypeVar

from aiohappyeyeballs import start_connection

from monitor.checks.classify import CheckResult, classify
from monitor.checks.connection import (
    AddressInfo,
    ProbeError,
    Resolver,
    Stopwatch,
    connection_error,
    is_address,
    lookup_error,
    sinkhole,
)
from monitor.checks.connectivity import handshake
from monitor.checks.observation import Fact, Observation, ProbeFault, certificate_ends_soon
from monitor.diagnosis.verdicts import Layer, LayerResult, LayerState
from monitor.lib.text import one_line

_Key = TypeVar("_Key", bound=Hashable)
_Result = TypeVar("_Result")

_FAMILIES = {int(socket.AF_INET): "IPv4", int(socket.AF_INET6): "IPv6"}
_FAILS = {"IPv4": Fact.IPV4_FAILS, "IPv6": Fact.IPV6_FAILS}
_MOST_ADDRESSES_NAMED = 4
_MOST_NAMES = 2
_NAME_LENGTH = 60
# Once one got through, the others get this much longer: a family whose packets are dropped must not cost the whole
# deadline.
_GRACE_SECONDS = 1.5
# Of several failures the one that got furthest tells most: a refusal came from the host itself.
_FURTHEST = (
    ProbeFault.TLS,
    ProbeFault.TLS_TIMEOUT,
    ProbeFault.LOST,
    ProbeFault.REFUSED,
    ProbeFault.CONNECT_TIMEOUT,
    ProbeFault.UNREACHABLE,
)
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
        nothing = ProbeError(ProbeFault.DNS_NOT_FOUND, "it has no address")
        return _failed(Layer.LOOKUP, nothing), ()
    if is_address(host):
        return _passed(Layer.LOOKUP, f"{host} is an address itself"), addresses
    if sinkhole(host, addresses):
        words = f"{_format_addresses(addresses)}: this machine, and nowhere else"
        return _passed(Layer.LOOKUP, words, frozenset({Fact.NAME_FILTERED})), addresses
    return _passed(Layer.LOOKUP, _format_addresses(addresses)), addresses


async def examine_connection(
    addresses: Sequence[AddressInfo], *, timeout: timedelta
) -> tuple[LayerResult, tuple[AddressInfo, ...]]:
    """Which addresses accept a connection, tried all at once; those that do are for `examine_encryption`.

    Passed when at least one does.
    """
    late = ProbeError(ProbeFault.CONNECT_TIMEOUT, "the host did not answer before the deadline")
    ended = await _try_all(
        {address: _connect(address) for address in addresses}, timeout=timeout, late=lambda _address, _waited: late
    )
    errors = {address: error for address, error in ended.items() if isinstance(error, ProbeError)}
    accepting = tuple(address for address in addresses if address not in errors)
    words = _format_connections(addresses, errors)
    if accepting:
        return _passed(Layer.CONNECTION, words), accepting
    return _failed(Layer.CONNECTION, ProbeError(_telling(errors.values()).fault, words)), ()


async def examine_encryption(
    host: str,
    addresses: Sequence[AddressInfo],
    *,
    timeout: timedelta,
    tls: ssl.SSLContext,
    now: datetime,
) -> LayerResult:
    """Whether the host has a certificate for its name that `tls` trusts, and until when it is valid.

    Each address family is tried on its own: a handshake needs larger packets than a connection does, and a way
    that drops those lets the connection stand. Passed when one family gets through, since clients may take it.
    """
    families = tuple(dict.fromkeys(map(_family, addresses)))
    watches = {family: Stopwatch() for family in families}
    ended = await _try_all(
        {
            family: handshake(host, [each for each in addresses if _family(each) == family], tls, watches[family])
            for family in families
        },
        timeout=timeout,
        late=lambda family, waited: watches[family].error_at_deadline(waited),
    )
    errors = {family: error for family, error in ended.items() if isinstance(error, ProbeError)}
    sessions = {family: session for family, session in ended.items() if isinstance(session, ssl.SSLObject)}
    if not sessions:
        return _failed_encryption(errors)
    words = {family: _judge(error).summary for family, error in errors.items()}
    certificates = {family: session.getpeercert() or {} for family, session in sessions.items()}
    words |= {family: _describe(sessions[family], certificates[family], now) for family in sessions}
    facts = {_FAILS[family] for family in errors}
    if any(certificate_ends_soon(_end_of(certificate), now) for certificate in certificates.values()):
        facts.add(Fact.CERTIFICATE_ENDS_SOON)
    return _passed(Layer.ENCRYPTION, _by_family(words), frozenset(facts))


def _passed(layer: Layer, detail: str, facts: frozenset[Fact] = frozenset()) -> LayerResult:
    return LayerResult(layer=layer, state=LayerState.PASSED, detail=detail, facts=facts)


def _judge(error: ProbeError) -> CheckResult:
    observation = Observation(fault=error.fault, description=error.description, facts=error.facts)
    return classify(observation, slow=None)


def _failed(layer: Layer, error: ProbeError) -> LayerResult:
    result = _judge(error)
    return LayerResult(
        layer=layer, state=LayerState.FAILED, detail=result.detail, outcome=result.outcome, facts=result.facts
    )


def _failed_encryption(errors: Mapping[str, ProbeError]) -> LayerResult:
    """Neither family gets through; each is told only where they differ."""
    telling = _telling(errors.values())
    if len({error.fault for error in errors.values()}) == 1:
        words = {family: error.description for family, error in errors.items()}
    else:
        words = {family: _judge(error).summary for family, error in errors.items()}
    return _failed(Layer.ENCRYPTION, ProbeError(telling.fault, _by_family(words), *telling.facts))


def _seconds(timeout: timedelta) -> str:
    return f"{timeout.total_seconds():g} s"


async def _try_all(
    tries: Mapping[_Key, Coroutine[Any, Any, _Result | ProbeError]],
    *,
    timeout: timedelta,
    late: Callable[[_Key, timedelta], ProbeError],
) -> dict[_Key, _Result | ProbeError]:
    """Try all at once; return what each came to. `late` words an end without a result, after so long."""
    tasks = {key: asyncio.create_task(one) for key, one in tries.items()}
    waiting = set(tasks.values())
    began = perf_counter()
    end = began + timeout.total_seconds()
    try:
        while waiting and perf_counter() < end:
            done, waiting = await asyncio.wait(
                waiting, timeout=end - perf_counter(), return_when=asyncio.FIRST_COMPLETED
            )
            if not all(isinstance(task.result(), ProbeError) for task in done):
                end = min(end, perf_counter() + _GRACE_SECONDS)
    finally:
        for task in waiting:
            task.cancel()
    waited = timedelta(seconds=round(perf_counter() - began, 1))
    return {key: late(key, waited) if task in waiting else task.result() for key, task in tasks.items()}


async def _connect(address: AddressInfo) -> ProbeError | None:
    try:
        sock = await start_connection([address])
    except OSError as error:
        return connection_error(error)
    sock.close()
    return None


def _telling(errors: Collection[ProbeError]) -> ProbeError:
    return min(errors, key=lambda error: _FURTHEST.index(error.fault))


def _by_family(words: Mapping[str, str]) -> str:
    """`IPv6: TLS handshake timed out: …; IPv4: issued by …`; without the families where they agree."""
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    return "; ".join(f"{family}: {text}" for family, text in words.items())


def _family(address: AddressInfo) -> str:
    return _FAMILIES[int(address[0])]


def _format_addresses(addresses: Sequence[AddressInfo]) -> str:
    """`2 IPv4 (10.0.0.1, 10.0.0.2), no IPv6`."""
    parts = []
    for family in _FAMILIES.values():
        of_family = [str(address[4][0]) for address in addresses if _family(address) == family]
        named = of_family[:_MOST_ADDRESSES_NAMED] + ["…"] * (len(of_family) > _MOST_ADDRESSES_NAMED)
        parts.append(f"{len(of_family)} {family} ({', '.join(named)})" if of_family else f"no {family}")
    return ", ".join(parts)


def _format_connections(addresses: Sequence[AddressInfo], errors: Mapping[AddressInfo, ProbeError]) -> str:
    """`2 of 3 addresses on port 443: IPv6 has no route`; why all of them failed alike, the outcome says."""
    failures = [
        _format_failure(family, [address for address in addresses if _family(address) == family], errors)
        for family in dict.fromkeys(map(_family, addresses))
    ]
    is_alike = len(errors) == len(addresses) and len({error.fault for error in errors.values()}) == 1
    failed = "" if is_alike else ", ".join(filter(None, failures))
    accepting = len(addresses) - len(errors)
    count = f"{len(addresses)} address{'' if len(addresses) == 1 else 'es'}"
    return f"{accepting or 'none'} of {count} on port {addresses[0][4][1]}" + (f": {failed}" if failed else "")


def _format_failure(
    family: str, addresses: Sequence[AddressInfo], errors: Mapping[AddressInfo, ProbeError]
) -> str:
    faults = [errors[address].fault for address in addresses if address in errors]
    if not faults:
        return ""
    words = " or ".join(dict.fromkeys(_WORDS[fault] for fault in faults))
    return f"{family} {words}" if len(faults) == len(addresses) else f"{len(faults)} of {family} {words}"


def _describe(session: ssl.SSLObject, certificate: Mapping[str, Any], now: datetime) -> str:
    """`issued by … for … · 61 days left · TLS 1.3`."""
    days = (_end_of(certificate) - now).days
    parts = (
        f"issued by {_issuer(certificate)} for {_names(certificate)}",
        f"{days} day{'' if days == 1 else 's'} left",
        (session.version() or "an unknown protocol").replace("TLSv", "TLS "),
    )
    return " · ".join(parts)


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
