"""The doctor's examination of one database: which hand sees which layer, and what one layer leaves for the next.

The order of the climb is `climb`'s business, what a hand does that of `probes`; verdicts are in `core/verdicts`.
"""

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
from monitor.checks.credentials import Endpoint, endpoint_of, host_of
from monitor.checks.rest import RestProbeFactory
from monitor.config.settings import DatabaseSettings, DoctorSettings
from monitor.diagnosis.layers import REST_LAYERS, Layer, LayerResult, LayerResults, LayerState, blocked_by
from monitor.doctor.layers.console import ConsoleDatabase, ConsoleKey, read_console
from monitor.doctor.layers.network import connect, encrypt, look_up
from monitor.doctor.layers.rest import see_configuration, see_http, see_reading, see_token, see_writing
from monitor.doctor.layers.status_page import read_status_page
from monitor.doctor.railway.api import Railway
from monitor.doctor.railway.layer import read_platform
from monitor.doctor.railway.variables import Known, Variable
from monitor.lib.secret import Secret
from monitor.lib.threads import on_daemon_thread

# One layer: looks, and says what it saw. `took_ms` is filled in here, so that no layer measures itself.
LayerProbe = Callable[[], Awaitable[LayerResult]]
# Not a need, since nothing fails without it, but a layer that knows more once the other is done.
_AFTER = {Layer.PLATFORM: Layer.CONSOLE, Layer.WORKER: Layer.LOOKUP}


async def examine_layers(database: str, probes: Mapping[Layer, LayerProbe], *, within: timedelta) -> LayerResults:
    """Return the layers after at most `within`; layers that are not done by then are unknown. Raises nothing."""
    done: dict[Layer, asyncio.Future[LayerResult]] = {}
    for layer in Layer:
        if layer in probes:
            done[layer] = asyncio.ensure_future(_layer(layer, probes[layer], done))
    if done:
        await asyncio.wait(done.values(), timeout=within.total_seconds())
    for future in done.values():
        future.cancel()
    await asyncio.sleep(0)  # let them notice
    seconds = within.total_seconds()
    return LayerResults(
        database=database,
        layers=tuple(
            future.result()
            if future.done() and not future.cancelled()
            else LayerResult(layer=layer, state=LayerState.UNKNOWN, detail=f"not known within {seconds:g} s")
            for layer, future in done.items()
        ),
    )


async def _layer(
    layer: Layer, probe: LayerProbe, done: Mapping[Layer, asyncio.Future[LayerResult]]
) -> LayerResult:
    # The layers below were begun before this one, so waiting for them cannot come round in a circle.
    below = [needed for needed in (*layer.needs, _AFTER.get(layer)) if needed is not None and needed in done]
    known = [await asyncio.shield(done[needed]) for needed in below]
    if blocked_by(layer, known) is not None:
        return LayerResult(layer=layer, state=LayerState.SKIPPED)
    started = perf_counter()
    try:
        result = await probe()
    except Exception as error:  # noqa: BLE001 - the top of a climb: the message goes without an opinion
        logger.opt(exception=error).error("the layer {} failed inside", layer.value)
        return LayerResult(
            layer=layer, state=LayerState.UNKNOWN, detail=f"the monitor failed inside ({type(error).__name__})"
        )
    return replace(result, took_ms=(perf_counter() - started) * 1000) if result.took_ms is None else result


WITHIN = timedelta(seconds=28)
# Each layer has its own end, so that a host that hangs leaves time to see everything else.
_LAYER_TIMEOUT = timedelta(seconds=5)
OTHERS_TIMEOUT = timedelta(seconds=10)


@dataclass(frozen=True, kw_only=True)
class Examiner:
    """What all examinations share. `console` and `railway` are `None` where no key was given.

    `worker_tls` is as in `WorkerProbe`; one is made for each examination where it is left out.
    `others_timeout` is for the status page, the console and the platform, each.
    """

    probes: RestProbeFactory
    connectivity_probe: ConnectivityProbe
    connectivity: Sequence[str]
    doctor: DoctorSettings
    console: ConsoleKey | None
    railway: Railway | None
    hosts: Collection[str]
    scrub: Callable[[str], str]
    clock: Callable[[], datetime]
    worker_tls: ssl.SSLContext | None = None
    others_timeout: timedelta = OTHERS_TIMEOUT

    async def examine(
        self,
        database: DatabaseSettings,
        *,
        without: Collection[Layer] = frozenset(),
        within: timedelta = WITHIN,
    ) -> Examination:
        """Climb the layers of one database, some layers left out; ends after at most `within`. Raises nothing."""
        visit = _Visit(self, database)
        probes = {layer: probe for layer, probe in visit.probes().items() if layer not in without}
        layers = await examine_layers(database.name, probes, within=within)
        return Examination(layers=layers, console=visit.console, variables=visit.variables)


@dataclass(frozen=True, kw_only=True, slots=True)
class Examination:
    """A layers, and what the fix needs of the two sources behind it; `None` where they were not read."""

    layers: LayerResults
    console: ConsoleDatabase | None
    variables: Mapping[str, Variable] | None


class _Visit:
    """One climb: the hands, and what they leave for each other."""

    def __init__(self, examiner: Examiner, database: DatabaseSettings) -> None:
        self._examiner = examiner
        self._database = database
        self._url = database.url.reveal()
        self._token = database.token.reveal()
        self._timeout = min(database.timeout, _LAYER_TIMEOUT)
        self._endpoint = endpoint_of(self._url)
        self._addresses: tuple[AddressInfo, ...] = ()
        self.console: ConsoleDatabase | None = None
        self.variables: Mapping[str, Variable] | None = None

    def probes(self) -> dict[Layer, LayerProbe]:
        probes: dict[Layer, LayerProbe] = {
            Layer.CONFIGURATION: self._configuration,
            Layer.CONNECTIVITY: self._our_network,
            Layer.WORKER: self._worker,
            Layer.STATUS_PAGE: self._status_page,
            Layer.CONSOLE: self._console,
            Layer.PLATFORM: self._platform,
        }
        if self._endpoint is None:
            return {**{layer: partial(_no_host, layer) for layer in REST_LAYERS}, **probes}
        return {**probes, **self._network(self._endpoint), **self._rest(self._endpoint)}

    def _network(self, endpoint: Endpoint) -> dict[Layer, LayerProbe]:
        probes = self._examiner.probes

        async def lookup() -> LayerResult:
            result, self._addresses = await look_up(
                endpoint.host, endpoint.port, timeout=self._timeout, resolver=probes.resolver
            )
            return result

        async def connection() -> LayerResult:
            result, self._addresses = await connect(self._addresses, timeout=self._timeout)
            return result

        async def encryption() -> LayerResult:
            if not endpoint.is_encrypted:
                words = "http:// in the URL: nothing is encrypted"
                return LayerResult(layer=Layer.ENCRYPTION, state=LayerState.NOT_APPLICABLE, detail=words)
            now = self._examiner.clock()
            return await encrypt(endpoint.host, self._addresses, timeout=self._timeout, tls=probes.tls, now=now)

        return {Layer.LOOKUP: lookup, Layer.CONNECTION: connection, Layer.ENCRYPTION: encryption}

    def _rest(self, endpoint: Endpoint) -> dict[Layer, LayerProbe]:
        # With the URL as it should stand, so that a mangled one still shows what is behind it.
        probe = self._examiner.probes.probe(url=endpoint.url, token=self._token)
        return {
            Layer.HTTP: lambda: see_http(probe, timeout=self._timeout),
            Layer.TOKEN: lambda: see_token(probe, timeout=self._timeout, slow=self._database.slow),
            Layer.READING: lambda: see_reading(probe, timeout=self._timeout),
            Layer.WRITING: lambda: see_writing(probe, timeout=self._timeout),
        }

    async def _configuration(self) -> LayerResult:
        return see_configuration(self._url, self._token)

    async def _our_network(self) -> LayerResult:
        connectivity = self._examiner.connectivity
        if not connectivity:
            return LayerResult(
                layer=Layer.CONNECTIVITY, state=LayerState.NOT_APPLICABLE, detail="no connectivity hosts are set"
            )
        answered = await self._examiner.connectivity_probe.reachable(self._timeout)
        return LayerResult(
            layer=Layer.CONNECTIVITY,
            state=LayerState.PASSED if answered else LayerState.FAILED,
            detail=f"{len(answered) or 'none'} of {len(connectivity)} connectivity hosts accept a connection",
        )

    async def _worker(self) -> LayerResult:
        # redis-py is 10 MB that only this layer needs.
        from monitor.checks.redis_tcp import WorkerProbe
        from monitor.doctor.layers.worker import see_worker

        probe = WorkerProbe(
            url=self._url,
            token=self._token,
            port=self._examiner.doctor.worker_port,
            scrub=self._examiner.scrub,
            tls=self._examiner.worker_tls,
            resolver=self._examiner.probes.resolver,
        )
        return await see_worker(probe, timeout=self._timeout)

    async def _status_page(self) -> LayerResult:
        url, timeout = self._examiner.doctor.status_url, self._examiner.others_timeout
        return await on_daemon_thread(lambda: read_status_page(url, timeout=timeout), name="status page")

    async def _console(self) -> LayerResult:
        key, endpoint = self._examiner.console, self._endpoint
        if key is None:
            words = "UPSTASH_EMAIL and UPSTASH_API_KEY are not set"
            return LayerResult(layer=Layer.CONSOLE, state=LayerState.NOT_APPLICABLE, detail=words)
        if endpoint is None:
            return LayerResult(
                layer=Layer.CONSOLE, state=LayerState.SKIPPED, detail="no host can be told from the URL"
            )
        reading = await on_daemon_thread(
            lambda: read_console(
                key,
                console_url=self._examiner.doctor.console_url,
                origin=endpoint.url,
                token=self._token,
                timeout=self._examiner.others_timeout,
            ),
            name="console",
        )
        self.console = reading.database
        return reading.result

    async def _platform(self) -> LayerResult:
        railway, timeout = self._examiner.railway, self._examiner.others_timeout
        if railway is None:
            words = "RAILWAY_TOKEN is not set"
            return LayerResult(layer=Layer.PLATFORM, state=LayerState.NOT_APPLICABLE, detail=words)
        known = Known(url=self._url, token=Secret(self._token), console=self.console)
        others = frozenset(self._examiner.hosts) - {host_of(self._url)}
        reading = await on_daemon_thread(
            lambda: read_platform(railway, known, timeout=timeout, other_hosts=others), name="platform"
        )
        self.variables = reading.variables
        return reading.result


async def _no_host(layer: Layer) -> LayerResult:
    return LayerResult(layer=layer, state=LayerState.SKIPPED, detail="no host can be told from the URL")
