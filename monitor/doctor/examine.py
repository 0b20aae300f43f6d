"""The doctor's examination of one database: every layer, each once those that it needs are done."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from time import perf_counter

from loguru import logger

from monitor.checks.connection import AddressInfo
from monitor.checks.connectivity import ConnectivityProbe
from monitor.checks.credentials import Endpoint, endpoint_of, host_of, inspect
from monitor.checks.observation import Fact, Observation
from monitor.checks.redis_tcp import WorkerProbe
from monitor.checks.rest import RestProbeFactory
from monitor.config.settings import DatabaseSettings, DoctorSettings
from monitor.diagnosis.verdicts import (
    REST_LAYERS,
    Layer,
    LayerResult,
    LayerResults,
    LayerState,
    blocked_by,
    host_kind,
)
from monitor.doctor.console import ConsoleDatabase, ConsoleKey, read_console
from monitor.doctor.database import (
    examine_configuration,
    examine_http,
    examine_reading,
    examine_worker,
    examine_writing,
    judge_token_and_ping,
)
from monitor.doctor.network import examine_connection, examine_encryption, examine_lookup
from monitor.doctor.platform import read_platform
from monitor.doctor.railway import Railway
from monitor.doctor.status_page import read_status_page
from monitor.doctor.tried_values import Attempts, Credentials, CredentialsTester
from monitor.doctor.worker_variables import ExpectedValues, Variable, is_same_url
from monitor.lib.text import Secret
from monitor.lib.threads import on_daemon_thread
from monitor.lib.times import Deadline

WITHIN = timedelta(seconds=28)
# Each layer has its own end, so that a host that hangs leaves time to examine everything else.
_LAYER_TIMEOUT = timedelta(seconds=5)
OTHERS_TIMEOUT = timedelta(seconds=10)
_RESERVE = timedelta(milliseconds=500)
# Of the worker's values, in the platform's layer: short, so that a host that hangs does not cost that layer.
_TRY_TIMEOUT = timedelta(seconds=3)

# Examines one layer. `took_ms` is filled in by whoever calls it.
LayerProbe = Callable[[], Awaitable[LayerResult]]
# Not a need, since a failure there stops nothing, but a layer that knows more once the other is done.
_AFTER = {Layer.PLATFORM: Layer.CONSOLE, Layer.WORKER: Layer.LOOKUP}
_NO_HOST = "no host can be read off the URL"
_NOT_UPSTASH = "not Upstash's host"


async def examine_layers(database: str, probes: Mapping[Layer, LayerProbe], *, within: timedelta) -> LayerResults:
    """Return the layers after at most `within`; those that are not done by then are unknown. Raises nothing."""
    done: dict[Layer, asyncio.Future[LayerResult]] = {}
    for layer in Layer:
        if layer in probes:
            done[layer] = asyncio.ensure_future(_examine_layer(layer, probes[layer], done))
    if done:
        await asyncio.wait(done.values(), timeout=within.total_seconds())
    for future in done.values():
        future.cancel()
    await asyncio.sleep(0)  # a cancelled task ends in the next turn of the loop
    late = f"not known within {within.total_seconds():g} s"
    return LayerResults(
        database=database,
        layers=tuple(
            future.result()
            if future.done() and not future.cancelled()
            else LayerResult(layer=layer, state=LayerState.UNKNOWN, detail=late)
            for layer, future in done.items()
        ),
    )


async def _examine_layer(
    layer: Layer, probe: LayerProbe, done: Mapping[Layer, asyncio.Future[LayerResult]]
) -> LayerResult:
    # Only layers that were begun before this one are in `done`, so two cannot wait for each other.
    earlier = [needed for needed in (*layer.needs, _AFTER.get(layer)) if needed is not None and needed in done]
    results = [await asyncio.shield(done[needed]) for needed in earlier]
    if blocked_by(layer, results) is not None:
        return LayerResult(layer=layer, state=LayerState.SKIPPED)
    started = perf_counter()
    try:
        result = await probe()
    except Exception as error:  # noqa: BLE001 - a bug in one layer costs that layer and not the examination
        logger.opt(exception=error).error("the layer {} failed inside", layer.value)
        detail = f"the monitor failed inside ({type(error).__name__})"
        return LayerResult(layer=layer, state=LayerState.UNKNOWN, detail=detail)
    # PING takes no time of its own: its answer came with the token's.
    if layer is Layer.PING or result.state in (LayerState.SKIPPED, LayerState.NOT_APPLICABLE):
        return result
    return replace(result, took_ms=(perf_counter() - started) * 1000)


@dataclass(frozen=True, kw_only=True)
class Examiner:
    """What all examinations share. `console` and `railway` are `None` where no key was given.

    `look_alikes` are names of variables that may be meant where a value is missing.
    `answered_lately` says that one of the connectivity hosts did within the last day.
    `worker_tls` is as in `WorkerProbe`; one is made for each examination where it is left out.
    `others_timeout` is for the status page, the console and the platform, each.
    """

    probes: RestProbeFactory
    connectivity: ConnectivityProbe
    doctor: DoctorSettings
    console: ConsoleKey | None
    railway: Railway | None
    databases: Sequence[DatabaseSettings]
    scrub: Callable[[str], str]
    clock: Callable[[], datetime]
    worker_tls: ssl.SSLContext | None = None
    look_alikes: Sequence[str] = ()
    answered_lately: bool = False
    others_timeout: timedelta = OTHERS_TIMEOUT

    async def examine(
        self,
        database: DatabaseSettings,
        *,
        without: Collection[Layer] = frozenset(),
        within: timedelta = WITHIN,
    ) -> Examination:
        """Examine the layers of one database, some left out; ends after at most `within`. Raises nothing."""
        may_send = Layer.TOKEN not in without
        all_probes = _LayerProbes(self, database, Deadline(within), may_send=may_send)
        probes = {layer: probe for layer, probe in all_probes.by_layer().items() if layer not in without}
        layers = await examine_layers(database.name, probes, within=within)
        # Names in a certificate, on a status page or at a platform are foreign text as well.
        scrubbed = tuple(replace(result, detail=self.scrub(result.detail)) for result in layers.layers)
        layers = replace(layers, layers=scrubbed)
        return Examination(
            layers=layers,
            expected=all_probes.expected(),
            variables=all_probes.variables,
            other_names=all_probes.other_names,
            undeployed=all_probes.undeployed,
        )

    def tester(self, database: DatabaseSettings) -> CredentialsTester:
        """What tries a worker's values with the database."""
        return CredentialsTester(
            probes=self.probes,
            worker_port=self.doctor.worker_port,
            worker_tls=self.worker_tls,
            scrub=self.scrub,
            has_worker=database.worker,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Examination:
    """The layers, and what a fix needs of console and platform, as in `PlatformResult`."""

    layers: LayerResults
    expected: ExpectedValues
    variables: Mapping[str, Variable] | None
    other_names: tuple[str, ...]
    undeployed: tuple[str, ...]


class _LayerProbes:
    """The probes of one examination, and what the earlier ones leave for the later ones."""

    def __init__(
        self, examiner: Examiner, database: DatabaseSettings, deadline: Deadline, *, may_send: bool
    ) -> None:
        self._examiner = examiner
        self._may_send = may_send
        self._database = database
        self._deadline = deadline
        self._url = database.url.reveal()
        self._token = database.token.reveal()
        self._timeout = min(database.timeout, _LAYER_TIMEOUT)
        self._endpoint = endpoint_of(self._url)
        self._is_upstash = host_kind(self._url, examiner.doctor).is_upstash
        self._addresses: tuple[AddressInfo, ...] = ()
        self._ping: Observation | None = None
        self._console_database: ConsoleDatabase | None = None
        self.variables: Mapping[str, Variable] | None = None
        self.other_names: tuple[str, ...] = ()
        self.undeployed: tuple[str, ...] = ()

    def by_layer(self) -> dict[Layer, LayerProbe]:
        probes: dict[Layer, LayerProbe] = {
            Layer.CONFIGURATION: self._configuration,
            Layer.CONNECTIVITY: self._connectivity,
            Layer.WORKER: self._worker,
            Layer.STATUS_PAGE: self._status_page,
            Layer.CONSOLE: self._console,
            Layer.PLATFORM: self._platform,
        }
        if self._endpoint is None:
            return {**{layer: partial(_skip, layer) for layer in REST_LAYERS}, **probes}
        return {**probes, **self._network(self._endpoint), **self._rest(self._endpoint)}

    def _network(self, endpoint: Endpoint) -> dict[Layer, LayerProbe]:
        probes = self._examiner.probes

        async def lookup() -> LayerResult:
            result, self._addresses = await examine_lookup(
                endpoint.host, endpoint.port, timeout=self._timeout, resolver=probes.resolver
            )
            return result

        async def connection() -> LayerResult:
            result, self._addresses = await examine_connection(self._addresses, timeout=self._timeout)
            return result

        async def encryption() -> LayerResult:
            if not endpoint.is_encrypted:
                return _not_applicable(Layer.ENCRYPTION, "http:// in the URL: nothing is encrypted")
            return await examine_encryption(
                endpoint.host,
                self._addresses,
                timeout=self._timeout,
                tls=probes.tls,
                now=self._examiner.clock(),
            )

        return {Layer.LOOKUP: lookup, Layer.CONNECTION: connection, Layer.ENCRYPTION: encryption}

    def _rest(self, endpoint: Endpoint) -> dict[Layer, LayerProbe]:
        # With the URL as it should be, so that a malformed one still shows what is behind it.
        probe = self._examiner.probes.probe(url=endpoint.url, token=self._token)

        async def ping() -> Observation:
            """The request with the token, made once, whichever layer asks first."""
            if self._ping is None:
                # It ends before the examination does, so that what was seen is told; but not so early that
                # anybody would be late.
                left = max(self._deadline.left(reserve=_RESERVE), self._timeout / 2)
                self._ping = await probe.ping(timeout=min(self._timeout, left))
            return self._ping

        async def http() -> LayerResult:
            # Half, since the request with the token decides and needs time after it: in an alert's examination
            # of 8 s these two come last, after up to 1.5 s each for connection and encryption.
            is_sendable = inspect(self._url, self._token) is None
            return await examine_http(probe, timeout=self._timeout / 2, ping=ping if is_sendable else None)

        async def token_and_ping(number: int) -> LayerResult:
            return judge_token_and_ping(await ping(), slow=self._database.slow)[number]

        return {
            Layer.HTTP: http,
            Layer.TOKEN: partial(token_and_ping, 0),
            Layer.PING: partial(token_and_ping, 1),
            Layer.READING: lambda: examine_reading(probe, self._database.canary_prefix, timeout=self._timeout),
            Layer.WRITING: lambda: examine_writing(probe, self._database.canary_prefix, timeout=self._timeout),
        }

    async def _configuration(self) -> LayerResult:
        return examine_configuration(self._url, self._token, self._examiner.look_alikes)

    async def _connectivity(self) -> LayerResult:
        probe = self._examiner.connectivity
        if not probe.hosts:
            return _not_applicable(Layer.CONNECTIVITY, "no connectivity hosts are set")
        answered = await probe.reachable(self._timeout)
        return LayerResult(
            layer=Layer.CONNECTIVITY,
            state=LayerState.PASSED if answered else LayerState.FAILED,
            detail=f"{len(answered) or 'none'} of {len(probe.hosts)} connectivity hosts accept a connection",
            facts=frozenset({Fact.ANSWERED_LATELY} if self._examiner.answered_lately and not answered else ()),
        )

    async def _worker(self) -> LayerResult:
        if not self._database.worker:
            if self._endpoint is not None and not self._endpoint.is_encrypted:
                return _not_applicable(Layer.WORKER, "http:// in the URL: no rediss:// belongs to it")
            if not self._is_upstash:
                return _not_applicable(Layer.WORKER, "not Upstash's host; `worker: true` asks for it all the same")
        probe = WorkerProbe(
            url=self._url,
            token=self._token,
            port=self._examiner.doctor.worker_port,
            scrub=self._examiner.scrub,
            tls=self._examiner.worker_tls,
            resolver=self._examiner.probes.resolver,
        )
        return await examine_worker(probe, timeout=self._timeout)

    async def _status_page(self) -> LayerResult:
        if not self._is_upstash:
            return _not_applicable(Layer.STATUS_PAGE, _NOT_UPSTASH)
        url, timeout = self._examiner.doctor.status_url, self._examiner.others_timeout
        return await on_daemon_thread(lambda: read_status_page(url, timeout=timeout), name="status page")

    async def _console(self) -> LayerResult:
        key, endpoint = self._examiner.console, self._endpoint
        if not self._is_upstash:
            return _not_applicable(Layer.CONSOLE, _NOT_UPSTASH)
        if key is None:
            return _not_applicable(Layer.CONSOLE, "UPSTASH_EMAIL and UPSTASH_API_KEY are not set")
        if endpoint is None:
            return await _skip(Layer.CONSOLE)
        found = await on_daemon_thread(
            lambda: read_console(
                key,
                console_url=self._examiner.doctor.console_url,
                origin=endpoint.url,
                token=self._token,
                timeout=self._examiner.others_timeout,
            ),
            name="console",
        )
        self._console_database = found.database
        return found.result

    async def _platform(self) -> LayerResult:
        railway, timeout = self._examiner.railway, self._examiner.others_timeout
        if railway is None:
            return _not_applicable(Layer.PLATFORM, "RAILWAY_TOKEN is not set")
        hosts = {host_of(one.url.reveal()) for one in self._examiner.databases}
        others = frozenset(filter(None, hosts)) - {host_of(self._url)}
        found = await read_platform(
            railway, self.expected(), timeout=timeout, try_all=self._try_all, other_hosts=others
        )
        self.variables = found.variables
        self.other_names, self.undeployed = found.other_names, found.undeployed
        return found.result

    async def _try_all(self, credentials: Collection[Credentials]) -> Attempts:
        if not self._may_send:
            return {}
        timeout = min(self._timeout, _TRY_TIMEOUT, self._deadline.left(reserve=_RESERVE))
        return await self._examiner.tester(self._database).try_all(credentials, timeout=timeout)

    def expected(self) -> ExpectedValues:
        """What the worker's values are compared with, as far as it is known by now."""
        # A second entry of the same database is none of the others, and may be read from the same variables.
        others = (one for one in self._examiner.databases if not is_same_url(one.url.reveal(), self._url))
        return ExpectedValues(
            url=self._url,
            token=Secret(self._token),
            url_variable=self._database.url_variable,
            token_variable=self._database.token_variable,
            console=self._console_database,
            other_token_variables=frozenset(one.token_variable for one in others) - {""},
        )


def _not_applicable(layer: Layer, detail: str) -> LayerResult:
    return LayerResult(layer=layer, state=LayerState.NOT_APPLICABLE, detail=detail)


async def _skip(layer: Layer) -> LayerResult:
    return LayerResult(layer=layer, state=LayerState.SKIPPED, detail=_NO_HOST)
